// Event ids: TypeIDs (version 0.3 of that specification) of UUIDv7s (RFC 9562) with the prefix "evt".

const PREFIX = "evt_";
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const PATTERN = new RegExp(`^${PREFIX}[0-7][${ALPHABET}]{25}$`);

let lastTime = 0n;

/** 48 bits of milliseconds and 12 that count within one; ascends even when the clock does not. */
function nextTime(): bigint {
  const now = BigInt(Date.now()) << 12n;
  lastTime = now > lastTime ? now : lastTime + 1n;
  return lastTime;
}

/** Makes an event id. Ids made by one program ascend. */
export function newEventId(): string {
  const time = nextTime();
  const random = crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
  const high = ((time >> 12n) << 16n) | 0x7000n | (time & 0xfffn);
  return formatValue((high << 64n) | (2n << 62n) | (random >> 2n));
}

/** The event id of a UUID, which is given in its usual form of 36 characters. */
export function formatEventId(uuid: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) {
    throw new RangeError(`${JSON.stringify(uuid)} is not a UUID`);
  }
  return formatValue(BigInt("0x" + uuid.replaceAll("-", "")));
}

/** The UUID in an event id. Throws a RangeError for what is not an event id. */
export function parseEventId(eventId: string): string {
  if (!PATTERN.test(eventId)) {
    throw new RangeError(`${JSON.stringify(eventId)} is not an event id: "evt_" and 26 characters`);
  }
  let value = 0n;
  for (const digit of eventId.slice(PREFIX.length)) {
    value = (value << 5n) | BigInt(ALPHABET.indexOf(digit));
  }
  return value.toString(16).padStart(32, "0").replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function formatValue(value: bigint): string {
  // BigInt's own base 32 is fast; only its digits are others.
  const digits = value.toString(32).padStart(26, "0");
  let text = PREFIX;
  for (const digit of digits) {
    text += ALPHABET[parseInt(digit, 32)] ?? "";
  }
  return text;
}
