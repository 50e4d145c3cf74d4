// Event files in a browser: each reader gives { x, y, t, p } (arrays of one length, t in microseconds, p 1 for ON) and,
// where the file tells it, sensor: [width, height]. The rules are those of training/data/formats.
import { readAedat4 } from "./aedat4.js";

const NAMES = { ts: "t", time: "t", timestamp: "t", timestamps: "t", pol: "p", polarity: "p", on: "p" };
const FIELDS = ["x", "y", "t", "p"];
const READERS = { bin: readBin40, csv: readTable, txt: readTable, npy: readNpy, aedat4: readAedat4 };

// Errors are messages for the reader of the page.
export function readRecording(name, buffer) {
  const suffix = name.toLowerCase().split(".").pop();
  const read = READERS[suffix];
  if (!read) throw Error(`${name}: this page reads .${Object.keys(READERS).join(", .")}; the command deploy.run reads more`);
  const events = read(buffer);
  if (!events.t.length) throw Error(`${name}: it has no events`);
  for (let i = 1; i < events.t.length; i++)
    if (events.t[i] < events.t[i - 1]) return inOrder(events);
  return events;
}

// Where the sensor is not told, the smallest that holds all events is no guess: N-MNIST's is 34 x 34.
export function sensorOf(events, told, name) {
  const sensor = events.sensor || told;
  if (!sensor) throw Error(`${name}: the file does not tell the size of its sensor: give width x height above`);
  const outside = events.x.findIndex((x, i) => x < 0 || events.y[i] < 0 || x >= sensor[0] || events.y[i] >= sensor[1]);
  if (outside >= 0)
    throw Error(`${name}: event ${outside} at ${events.x[outside]}, ${events.y[outside]}: outside ${sensor.join(" x ")}`);
  return sensor;
}

function inOrder(events) {
  const order = Uint32Array.from(events.t.keys()).sort((a, b) => events.t[a] - events.t[b] || a - b);
  const sorted = { sensor: events.sensor };
  for (const field of FIELDS) sorted[field] = order.reduce((to, from, i) => (to[i] = events[field][from], to), Array(order.length));
  return sorted;
}

// The 40 bits of N-MNIST: x, y, polarity and 23 bits of time; row 240 says that the clock has wrapped.
function readBin40(buffer) {
  const bytes = new Uint8Array(buffer), found = { x: [], y: [], t: [], p: [] };
  if (bytes.length % 5) throw Error(`truncated: ${bytes.length} bytes are no whole number of events of 5`);
  let wrapped = 0;
  for (let at = 0; at < bytes.length; at += 5) {
    if (bytes[at + 1] === 240) { wrapped += 1 << 13; continue; }
    found.x.push(bytes[at]);
    found.y.push(bytes[at + 1]);
    found.p.push(bytes[at + 2] >> 7);
    found.t.push(((bytes[at + 2] & 127) << 16 | bytes[at + 3] << 8 | bytes[at + 4]) + wrapped);
  }
  return found;
}

function places(names) {
  const found = {};
  names.forEach((name, place) => {
    const plain = name.trim().replace(/^[#%\s]+/, "").replace(/@\d+$/, "").toLowerCase();
    const field = NAMES[plain] || plain;
    if (FIELDS.includes(field)) found[field] = place;
  });
  const missing = FIELDS.filter(field => !(field in found));
  if (missing.length) throw Error(`no column ${missing.join(", ")} among ${names.join(" ").slice(0, 60)}`);
  return found;
}

// Text, with a first line of names, or of lines of t, x, y, p.
function readTable(buffer) {
  const lines = new TextDecoder("utf-8", { fatal: true }).decode(buffer).split(/\r?\n/).filter(line => line.trim());
  const cut = line => line.includes(",") ? line.split(",") : line.trim().split(/\s+/);
  const first = cut(lines[0]), numbers = first.every(word => Number.isFinite(value(word)));
  const sized = numbers && first.length === 2;
  const at = numbers ? { t: 0, x: 1, y: 2, p: 3 } : places(first);
  const found = { x: [], y: [], t: [], p: [] };
  if (sized) found.sensor = first.map(Number);
  lines.slice(numbers && !sized ? 0 : 1).forEach((line, index) => {
    const words = cut(line);
    for (const field of FIELDS) {
      const number = value(words[at[field]] ?? "");
      if (!Number.isFinite(number)) throw Error(`event ${index}: ${field} = ${words[at[field]]} is no number`);
      found[field].push(field === "p" ? +(number > 0) : number);
    }
  });
  if (found.t.some(time => !Number.isInteger(time))) found.t = found.t.map(time => Math.round(time * 1e6));
  return found;
}

function value(word) {
  const text = word.trim().toLowerCase();
  return text === "" ? NaN : text === "true" ? 1 : text === "false" ? 0 : Number(text);
}

// NumPy's arrays: structured ones (events,), or rows (events, 4) of x, y, t, p.
function readNpy(buffer) {
  const view = new DataView(buffer), bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.slice(1, 6)) !== "NUMPY") throw Error("no .npy file");
  const wide = bytes[6] > 1, begin = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.slice(wide ? 12 : 10, begin));
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter(part => part.trim()).map(Number);
  if (/'fortran_order': True/.test(header)) throw Error("columns first (Fortran order) are not read: save rows");
  const structured = header.match(/'descr': \[(.*?)\]/);
  const found = { x: [], y: [], t: [], p: [] };
  if (structured) {
    const fields = [...structured[1].matchAll(/\((?:\('[^']*', )?'([^']*)'\)?, '([^']*)'\)/g)].map(([, name, kind]) => ({ name, kind }));
    const at = places(fields.map(field => field.name)), offsets = [];
    const size = fields.reduce((offset, field) => (offsets.push(offset), offset + width(field.kind)), 0);
    for (const field of FIELDS) {
      const { kind } = fields[at[field]];
      for (let i = 0; i < shape[0]; i++) found[field].push(item(view, begin + i * size + offsets[at[field]], kind));
    }
  } else {
    const kind = header.match(/'descr': '([^']*)'/)[1];
    if (shape.length !== 2 || shape[1] !== 4) throw Error(`an array of shape ${shape.join(" x ")}; rows of x, y, t, p are needed`);
    for (let i = 0; i < shape[0]; i++)
      FIELDS.forEach((field, place) => found[field].push(item(view, begin + (4 * i + place) * width(kind), kind)));
  }
  found.p = found.p.map(polarity => +(polarity > 0));
  return found;
}

const width = kind => Number(kind.slice(2));

function item(view, at, kind) {
  const little = kind[0] !== ">", type = kind.slice(1);
  switch (type) {
    case "b1": case "u1": return view.getUint8(at);
    case "i1": return view.getInt8(at);
    case "u2": return view.getUint16(at, little);
    case "i2": return view.getInt16(at, little);
    case "u4": return view.getUint32(at, little);
    case "i4": return view.getInt32(at, little);
    case "u8": case "i8": return Number(view.getBigInt64(at, little));
    case "f4": return view.getFloat32(at, little);
    case "f8": return view.getFloat64(at, little);
    default: throw Error(`numbers of type ${kind} are not read`);
  }
}
