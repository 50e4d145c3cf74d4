// iniVation's AEDAT 4.0: packets of FlatBuffers, whole or compressed by LZ4 or Zstandard, of the one stream of events.
import { decompress as zstd } from "fzstd";
import { decompress as lz4 } from "lz4js";

const MAGIC = "#!AER-DAT4.0\r\n";
const EVENT = 16; // bytes: t (int64), x, y (int16), on (bool), padding

export function readAedat4(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer);
  if (new TextDecoder("latin1").decode(bytes.slice(0, MAGIC.length)) !== MAGIC) throw Error("no AEDAT 4.0 file");
  const header = table(view, MAGIC.length + 4 + view.getUint32(MAGIC.length + 4, true));
  const compression = scalar(header, 0, 4), tablePosition = scalar(header, 1, 8, -1);
  const { stream, sensor } = described(text(header, 2));
  const found = { x: [], y: [], t: [], p: [], sensor };
  let at = MAGIC.length + 4 + view.getUint32(MAGIC.length, true);
  const end = tablePosition > 0 ? tablePosition : bytes.length;
  while (at + 8 <= end) {
    const id = view.getInt32(at, true), length = view.getInt32(at + 4, true);
    at += 8;
    if (length < 0 || at + length > bytes.length) break; // its writer stopped within a packet
    if (id === stream) addEvents(unpacked(bytes.slice(at, at + length), compression), found);
    at += length;
  }
  return found;
}

// The number and sensor of the stream of events, by the description in XML.
function described(xml) {
  const streams = [...new DOMParser().parseFromString(xml, "text/xml").querySelectorAll("node[name='outInfo'] > node")];
  const attribute = (node, key) => node.querySelector(`attr[key='${key}']`)?.textContent;
  const events = streams.filter(node => attribute(node, "typeIdentifier") === "EVTS");
  if (events.length !== 1) throw Error(`${events.length} streams of events; this page reads files with one`);
  const sizes = ["sizeX", "sizeY"].map(key => Number(attribute(events[0], key)));
  return { stream: Number(events[0].getAttribute("name")), sensor: sizes.every(size => size > 0) ? sizes : undefined };
}

function unpacked(packet, compression) {
  if (compression === 0) return packet;
  return compression < 3 ? Uint8Array.from(lz4(packet)) : zstd(packet);
}

// A packet is its size and a table whose first field is a vector of events.
function addEvents(packet, found) {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const root = table(view, 4 + view.getUint32(4, true)), place = field(root, 0);
  if (!place) return;
  const vector = place + view.getUint32(place, true), count = view.getUint32(vector, true);
  for (let at = vector + 4, last = at + EVENT * count; at < last; at += EVENT) {
    found.t.push(Number(view.getBigInt64(at, true)));
    found.x.push(view.getInt16(at + 8, true));
    found.y.push(view.getInt16(at + 10, true));
    found.p.push(view.getUint8(at + 12));
  }
}

// A FlatBuffers table: where its fields are is told by another one that lies before it.
const table = (view, at) => ({ view, at, fields: at - view.getInt32(at, true) });

function field({ view, at, fields }, index) {
  const place = 4 + 2 * index;
  const offset = place < view.getUint16(fields, true) ? view.getUint16(fields + place, true) : 0;
  return offset && at + offset;
}

function scalar(of, index, size, missing = 0) {
  const at = field(of, index);
  return !at ? missing : size === 8 ? Number(of.view.getBigInt64(at, true)) : of.view.getInt32(at, true);
}

function text(of, index) {
  const at = field(of, index);
  if (!at) return "";
  const begin = at + of.view.getUint32(at, true);
  return new TextDecoder().decode(new Uint8Array(of.view.buffer, of.view.byteOffset + begin + 4, of.view.getUint32(begin, true)));
}
