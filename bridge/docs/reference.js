"use strict";

// What /docs and /redoc share: the OpenAPI 3.1 document, and its parts as elements. The script that follows
// has a function nameOfType(name), which shows the name of one of the document's schemas.

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

// Where the API is, which may be behind a proxy's prefix: this page without its own name.
const base = location.pathname.replace(/\/(docs|redoc)\/*$/, "");

let api;

// The key of those who have given one. It stays in this page: it is in no storage, cookie or address.
let key = "";

function authorization() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

// ---- the document ----

// The object that a JSON pointer in a URI fragment leads to (RFC 6901 section 6).
function follow(reference) {
  return reference.slice(2).split("/")
    .map((name) => decodeURIComponent(name).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((part, name) => part[name], api);
}

// What is beside a reference counts more than what it refers to.
function resolve(value = {}) {
  if (!value.$ref) return value;
  const { $ref, ...beside } = value;
  return { ...resolve(follow($ref)), ...beside };
}

function nameOfReference(value) {
  return value.$ref?.split("/").pop();
}

// A schema with those of its allOf merged into it.
function resolveSchema(value) {
  const { allOf = [], ...own } = resolve(value === true ? {} : value);
  return [...allOf.map(resolveSchema), own].reduce((all, part) => ({
    ...all,
    ...part,
    ...(all.properties && { properties: { ...all.properties, ...part.properties } }),
    ...(all.required && { required: [...all.required, ...(part.required ?? [])] }),
  }), {});
}

// Every call, with the parameters of its path, of which its own replace those of the same name and place.
function listCalls() {
  return Object.entries(api.paths ?? {}).flatMap(([path, reference]) => {
    const item = resolve(reference);
    return METHODS.filter((method) => item[method]).map((method) => {
      const call = item[method];
      const parameters = new Map([...(item.parameters ?? []), ...(call.parameters ?? [])]
        .map((parameter) => resolve(parameter))
        .map((parameter) => [`${parameter.in} ${parameter.name}`, parameter]));
      return {
        ...call,
        path,
        method: method.toUpperCase(),
        id: call.operationId ?? `${method}${path}`,
        parameters: [...parameters.values()],
        body: call.requestBody && resolve(call.requestBody),
      };
    });
  });
}

// The calls by their first tag, in the order of the document's tags.
function listGroups() {
  const calls = listCalls();
  const tagOf = (call) => call.tags?.[0] ?? "other";
  const described = new Map((api.tags ?? []).map((tag) => [tag.name, tag]));
  const names = new Set([...described.keys(), ...calls.map(tagOf)]);
  return [...names].map((name) => ({
    name,
    description: described.get(name)?.description,
    calls: calls.filter((call) => tagOf(call) === name),
  })).filter((group) => group.calls.length > 0);
}

// ---- examples ----

// A value as the schema describes it.
function sampleOf(reference, depth = 0) {
  const schema = resolveSchema(reference);
  const given = [schema.example, schema.examples?.[0], schema.const, schema.default, schema.enum?.[0]]
    .find((value) => value !== undefined);
  if (given !== undefined || depth > 6) return given ?? null;
  const choice = schema.oneOf?.[0] ?? schema.anyOf?.[0];
  if (choice) return sampleOf(choice, depth + 1);
  const members = Object.entries(schema.properties ?? {})
    .filter(([name]) => !schema.required || schema.required.includes(name))
    .map(([name, member]) => [name, sampleOf(member, depth + 1)]);
  const samples = {
    object: Object.fromEntries(members),
    array: schema.items ? [sampleOf(schema.items, depth + 1)] : [],
    integer: schema.minimum ?? 0,
    number: schema.minimum ?? 0,
    boolean: false,
    null: null,
  };
  return samples[[schema.type].flat()[0]] ?? "";
}

// The text of a body that has this media type.
function exampleText(content) {
  const example = content.example ?? resolve(Object.values(content.examples ?? {})[0]).value ??
    sampleOf(content.schema);
  return typeof example === "string" ? example : JSON.stringify(example, null, 2);
}

// JSON with line breaks, each of its values as it was written: numbers and escapes are not touched.
function prettyJson(text) {
  const parts = [];
  let depth = 0;
  let last = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const begun = last === "{" || last === "[";
    const ends = token === "}" || token === "]";
    if (ends) depth -= 1;
    if (last === "," || begun !== ends) parts.push("\n", "  ".repeat(depth));
    if (token === "{" || token === "[") depth += 1;
    parts.push(token === ":" ? ": " : token);
    last = token;
  }
  return parts.join("");
}

// ---- text ----

function inline(text) {
  return text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

// Of CommonMark: paragraphs, lists with dashes and code in a line, which is what descriptions here use.
function prose(text = "") {
  return text.split(/\n\s*\n/).filter((block) => block.trim()).map((block) => {
    const items = block.trim().split(/^[-*] /m).slice(1);
    if (!/^\s*[-*] /.test(block)) return make("p", {}, ...inline(block.trim()));
    return make("ul", {}, ...items.map((item) => make("li", {}, ...inline(item.trim()))));
  });
}

function codeBlock(text) {
  return make("pre", {}, make("code", {}, text));
}

// ---- schemas ----

const between = (parts, separator) => parts.flatMap((part, index) => (index ? [separator, part].flat() : part));

// The type in words, as nodes: "array of Event", "string (date-time) or null".
function typeOf(reference = {}) {
  const name = nameOfReference(reference);
  const schema = resolveSchema(reference);
  const choices = schema.oneOf ?? schema.anyOf;
  if (name) return [nameOfType(name)];
  if (choices) return between(choices.map(typeOf), " or ");
  const types = [schema.type ?? (schema.properties ? "object" : "any value")].flat().map((type) => {
    if (type === "array" && schema.items) return ["array of ", ...typeOf(schema.items)];
    const each = type === "object" && schema.additionalProperties;
    if (each && Object.keys(each).length > 0) return ["map of ", ...typeOf(each)];
    return [schema.format && type !== "null" ? `${type} (${schema.format})` : type];
  });
  return between(types, " or ");
}

function rangeText(least, most, unit) {
  const last = most ?? least;
  if (last === undefined) return [];
  const amount = least === most ? `${last}`
    : most === undefined ? `at least ${least}`
    : least === undefined ? `at most ${most}` : `${least} to ${most}`;
  return [[`${amount} ${last === 1 ? unit : unit && `${unit}s`}`.trim()]];
}

// What a value must be beyond its type, each limit as nodes.
function limitsOf(reference) {
  const schema = resolveSchema(reference);
  const value = (given) => make("code", {}, typeof given === "string" ? given : JSON.stringify(given));
  const said = (words, given) => (given === undefined ? [] : [[words, value(given)]]);
  return [
    ...(schema.enum ? [["one of ", ...between(schema.enum.map(value), ", ")]] : []),
    ...said("always ", schema.const),
    ...rangeText(schema.minLength, schema.maxLength, "character"),
    ...rangeText(schema.minimum, schema.maximum, ""),
    ...said("more than ", schema.exclusiveMinimum),
    ...said("less than ", schema.exclusiveMaximum),
    ...said("a multiple of ", schema.multipleOf),
    ...rangeText(schema.minItems, schema.maxItems, "item"),
    ...(schema.uniqueItems ? [["no item twice"]] : []),
    ...rangeText(schema.minProperties, schema.maxProperties, "member"),
    ...(schema.additionalProperties === false ? [["no other members"]] : []),
    ...said("default ", schema.default),
    ...said("matches ", schema.pattern),
    ...(schema.readOnly ? [["only in answers"]] : []),
    ...(schema.writeOnly ? [["only in requests"]] : []),
  ];
}

// A name, its type and whether it must be there, as nodes.
function fieldHead(name, schema, required) {
  return [
    make("code", { class: "name" }, name), " ",
    make("span", { class: "type" }, ...typeOf(schema)),
    ...(required ? [" ", make("span", { class: "required" }, "required")] : []),
    ...(resolveSchema(schema).deprecated ? [" ", make("span", { class: "required" }, "deprecated")] : []),
  ];
}

// Of an array also what its items are.
function fieldText(schema, description) {
  const limits = limitsOf(schema);
  const { description: own, items } = resolveSchema(schema);
  return [
    ...prose(description ?? own),
    ...(items ? prose(resolveSchema(items).description) : []),
    ...(limits.length ? [make("p", { class: "limits" }, ...between(limits, "; "))] : []),
  ];
}

// The objects that a value of the schema is or is made of; those of named types only when they are wanted.
function objectsOf(reference, names, wanted) {
  const name = nameOfReference(reference);
  if (name && (names.includes(name) || !wanted(name))) return [];
  const inner = name ? [...names, name] : names;
  const schema = resolveSchema(reference);
  const parts = [schema.items, schema.additionalProperties, ...(schema.oneOf ?? []), ...(schema.anyOf ?? [])];
  return [
    ...(schema.properties ? [{ title: name ?? schema.title, schema, names: inner }] : []),
    ...parts.filter((part) => part instanceof Object).flatMap((part) => objectsOf(part, inner, wanted)),
  ];
}

// The members of those objects as lists, one in the other.
function fieldsOf(reference, wanted = () => true, names = []) {
  const objects = objectsOf(reference, names, wanted);
  return objects.flatMap((object) => [
    ...(objects.length > 1 && object.title ? [make("p", { class: "limits" }, `As ${object.title}:`)] : []),
    make("dl", { class: "fields" }, ...Object.entries(object.schema.properties).flatMap(([name, member]) => [
      make("dt", {}, ...fieldHead(name, member, object.schema.required?.includes(name))),
      make("dd", {}, ...fieldText(member), ...fieldsOf(member, wanted, object.names)),
    ])),
  ]);
}

// ---- answers ----

// The headers of an answer, and its bodies with their members and an example each.
function answerParts(answer, wanted) {
  const headers = Object.entries(answer.headers ?? {});
  const fields = headers.flatMap(([name, reference]) => {
    const header = resolve(reference);
    return [
      make("dt", {}, ...fieldHead(name, header.schema, header.required)),
      make("dd", {}, ...fieldText(header.schema, header.description)),
    ];
  });
  const bodies = Object.entries(answer.content ?? {}).flatMap(([type, content]) => [
    make("p", { class: "media" }, make("code", {}, type), " ", ...(content.schema ? typeOf(content.schema) : [])),
    ...(content.schema ? fieldsOf(content.schema, wanted) : []),
    codeBlock(exampleText(content)),
  ]);
  return [...(fields.length ? [make("dl", { class: "fields" }, ...fields)] : []), ...bodies];
}

// ---- the page ----

// The method and the path, which may be broken after a slash.
function routeOf(call) {
  const lines = call.path.split("/").flatMap((part, index) => (index ? ["/", make("wbr"), part] : part));
  return [
    make("span", { class: `method ${call.method}` }, call.method), " ",
    make("code", { class: "path" }, ...lines),
  ];
}

// A field for the key, whose characters are not seen; each of them tells the page of the event "key". A browser would
// offer to keep what is in a field for passwords.
function keyField(text) {
  const input = make("input", {
    id: "key", type: "text", class: "secret", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
    "aria-describedby": "key-text",
  });
  input.value = key;
  input.addEventListener("input", () => {
    key = input.value.trim();
    dispatchEvent(new Event("key"));
  });
  return make("div", { class: "field" }, make("label", { for: "key" }, "Key"), input,
    make("div", { id: "key-text" }, make("p", {}, text)));
}

// Asks for a key, for a document that is not shown without a good one.
function askForKey(main, status, again) {
  const form = make("form", { "aria-label": "Read with a key" },
    keyField("It needs the key of a caller: trg_ and so on. The key stays in this page."),
    make("button", { class: "send" }, "Read"),
    make("p", { role: "status" }, key ? `openapi.json is answered with ${status}` : ""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    again();
  });
  main.replaceChildren(make("header", {}, make("h1", {}, "API")), form);
  form.querySelector("input").focus();
}

// Reads the document and has `fill` make the page of it.
async function show(title, fill) {
  const main = document.querySelector("main");
  try {
    const answer = await fetch(`${base}/openapi.json`, { headers: authorization() });
    if ([401, 403, 429].includes(answer.status)) {
      askForKey(main, answer.status, () => show(title, fill));
      return;
    }
    if (!answer.ok) throw new Error(`it is answered with ${answer.status}`);
    api = await answer.json();
    document.title = `${title}: ${api.info.title}`;
    main.replaceChildren(make("header", {},
      make("h1", {}, api.info.title, " ", make("small", {}, api.info.version))));
    fill(main);
  } catch (error) {
    main.replaceChildren(make("p", { role: "alert" }, `openapi.json cannot be shown: ${error.message}`));
  }
}
