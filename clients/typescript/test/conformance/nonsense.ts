// What JavaScript lets in of the scenarios' nonsense.
import { Buffer } from "node:buffer";

class Instance {
  a = 1;
}

const cyclic: Record<string, unknown> = {};
cyclic.a = cyclic;

export const NONSENSE: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["null", null],
  ["true", true],
  ["false", false],
  ["zero", 0],
  ["number", 5],
  ["negative_time", -1],
  ["no_time", 0],
  ["fraction", 1.5],
  ["nan", NaN],
  ["infinity", Infinity],
  ["huge", 2 ** 40],
  ["number_as_text", "5"],
  ["list", [123, 125]],
  ["bytes", Buffer.from("crm")],
  ["function", () => "{}"],
  ["instance", new Instance()],
  ["date", new Date()],
  ["map", new Map([["a", 1]])],
  ["set", new Set(["a"])],
  ["array_buffer", new TextEncoder().encode("{}").buffer],
  ["int_array", new Int32Array([123, 125])],
  ["boxed_text", Object("{}")],
  ["half_surrogate", "\ud800"],
  ["half_surrogate_payload", '{"a":"\ud800"}'],
  ["nul_inside", "evt_01h455vb4pex5vsknk084sn02q\0b"],
  ["nan_inside", { a: [NaN] }],
  ["infinity_inside", { a: -Infinity }],
  ["undefined_inside", { a: undefined }],
  ["bigint_inside", { a: 1n }],
  ["function_inside", { a: () => 1 }],
  ["instance_inside", { a: new Instance() }],
  ["date_inside", { a: { b: new Date() } }],
  ["map_inside", { a: new Map() }],
  ["set_inside", { a: [new Set()] }],
  ["bytes_inside", { a: Buffer.from("b") }],
  ["cyclic", cyclic],
]);
