// The page: unpack runtime and model, then encode what is dropped and show its neighbours. `show` is animation.html's.
import * as ort from "onnxruntime-web/wasm";
import { packed, toFilm, toFrames } from "./frames.js";
import { readRecording, sensorOf } from "./recordings.js";

const NEAREST = 10;
const get = id => document.getElementById(id);
const { entries, bits, steps, size, crop, film } = JSON.parse(get("facts").textContent);
const say = (text, wrong = false) => { get("status").textContent = text; get("status").className = wrong ? "wrong" : "faint"; };
const ready = start().catch(error => say(`This browser cannot run the encoder: ${error.message}`, true));

async function start() {
  get("progress").value = 1;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpack("runtime");
  get("progress").value = 2;
  const session = await ort.InferenceSession.create(await unpack("model"), { executionProviders: ["wasm"] });
  get("progress").value = 3;
  get("progress").hidden = true;
  get("file").disabled = get("example").disabled = false;
  say("Ready. Nothing leaves this page.");
  return session;
}

async function unpack(id) {
  const bytes = Uint8Array.from(atob(get(id).textContent.trim()), letter => letter.charCodeAt(0));
  get(id).remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function answer(name, buffer) {
  const session = await ready;
  const events = readRecording(name, buffer), sensor = sensorOf(events, toldSensor(), name);
  const frames = toFrames(events, sensor, steps, size, crop);
  const input = new ort.Tensor("uint8", frames, [1, steps, 2, size, size]);
  const { codes } = await session.run({ frames: input });
  const code = Array.from(codes.data, byte => byte.toString(16).padStart(2, "0")).join("");
  const hits = entries.map(entry => ({ ...entry, distance: hamming(code, entry.code), difference: null }))
    .sort((a, b) => a.distance - b.distance || a.id - b.id).slice(0, NEAREST);
  const query = {
    name, film: toFilm(events, sensor, film.steps, film.largest),
    frames: { size, steps, events: events.t.length, bits: packed(frames) },
  };
  const ties = entries.filter(entry => hamming(code, entry.code) === hits[hits.length - 1].distance).length;
  const choice = `of ${entries.length} recordings in this page; ${ties} lie at the last distance shown`;
  return { code, bits, query, find: "class", choice, hits };
}

function toldSensor() {
  const text = get("sensor").value.trim();
  if (!text) return undefined;
  const found = text.match(/^([1-9]\d{0,4}) ?[x×] ?([1-9]\d{0,4})$/);
  if (!found) throw Error(`sensor ${text}: width x height in pixels is needed, as 34x34`);
  return [Number(found[1]), Number(found[2])];
}

function hamming(a, b) {
  let distance = 0;
  for (let at = 0; at < a.length; at++)
    for (let rest = parseInt(a[at], 16) ^ parseInt(b[at], 16); rest; rest &= rest - 1) distance++;
  return distance;
}

async function take(name, buffer) {
  try {
    say(`Encoding ${name} ...`);
    const found = await answer(name, buffer);
    show(found, { class: "Same class" }, () => undefined);
    say(`${name}: code ${found.code}`);
  } catch (error) {
    say(error.message.startsWith(name) ? error.message : `${name}: ${error.message}`, true);
  }
}

const takeFile = async file => { if (file) await take(file.name, await file.arrayBuffer()); };
get("file").onchange = event => takeFile(event.target.files[0]);
get("example").onclick = () => {
  const { name, content } = JSON.parse(get("sample").textContent);
  take(name, Uint8Array.from(atob(content), letter => letter.charCodeAt(0)).buffer);
};
addEventListener("dragover", event => event.preventDefault());
addEventListener("drop", event => { event.preventDefault(); takeFile(event.dataTransfer.files[0]); });
