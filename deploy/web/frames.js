// Events to binary frames, by the rules of training/data/binning.py, and to the pictures that the page plays.
const SHORTEST_BIN = 100; // microseconds
const CROPPED_SHARE = 8;

const part = (a, b) => Math.floor(a / b);

// Side of the square of a sensor that becomes a frame of size x size pixels.
function squareSide([width, height], size, crop) {
  const side = Math.max(width, height);
  if (crop === "whole") return Math.max(side, size);
  if (crop) return size * Math.max(1, part(Math.min(width, height), size));
  return side - size > part(size, CROPPED_SHARE) ? side : size;
}

// Which column (row) of a frame each of the values, columns (rows) of a sensor of that length, lies in.
function placing(values, length, side, size, crop) {
  let first = side === size ? part(length - side, 2) : -part(side - length, 2);
  if (crop === "activity" && length > side && values.length) {
    const median = Float64Array.from(values).sort()[part(values.length - 1, 2)];
    first = Math.min(Math.max(0, median - part(side, 2)), length - side);
  }
  return value => part((value - first) * size, side);
}

// Frames (steps, 2, size, size) of zeros and ones; stepsOf(times) says which frame each event belongs to.
function mark(events, sensor, steps, size, crop, stepsOf) {
  const frames = new Uint8Array(steps * 2 * size * size), inside = [], side = squareSide(sensor, size, crop);
  const [column, row] = ["x", "y"].map((axis, i) => placing(events[axis], sensor[i], side, size, crop));
  for (let i = 0; i < events.t.length; i++) {
    const x = column(events.x[i]), y = row(events.y[i]);
    if (x >= 0 && x < size && y >= 0 && y < size) inside.push([events.t[i], y * size + x, 1 - events.p[i]]);
  }
  const stepOf = stepsOf(inside.map(([time]) => time));
  for (const [time, pixel, channel] of inside) {
    const step = stepOf(time);
    if (step < steps) frames[(2 * step + channel) * size * size + pixel] = 1;
  }
  return frames;
}

export function toFrames(events, sensor, steps, size, crop) {
  return mark(events, sensor, steps, size, crop, times => {
    const first = times[0], span = times.length ? times[times.length - 1] - first : 0;
    if (span < steps) throw Error(`its events span ${span} microseconds; at least ${steps} are needed`);
    const length = part(span, steps);
    return length < SHORTEST_BIN ? time => part((time - first) * steps, span + 1) : time => part(time - first, length);
  });
}

// What animation.html plays: packed bits in base64.
export function toFilm(events, sensor, steps, largest) {
  const size = Math.min(Math.max(...sensor), largest), first = events.t[0];
  const length = part(events.t[events.t.length - 1] - first, steps) + 1;
  const pictures = mark(events, sensor, steps, size, null, () => time => part(time - first, length));
  return { size, steps, events: events.t.length, bits: packed(pictures) };
}

export function packed(bits) {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8));
  bits.forEach((bit, at) => { bytes[at >> 3] |= bit << (7 - (at & 7)); });
  let letters = "";
  for (const byte of bytes) letters += String.fromCharCode(byte);
  return btoa(letters);
}
