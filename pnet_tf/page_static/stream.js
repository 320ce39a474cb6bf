// Messages of a performance: one letter, a length of four bytes, and that many bytes.

const HEADER = 5;

export async function* messagesOf(body) {
  const reader = body.getReader();
  let held = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
    for (;;) {
      if (held.length < HEADER) break;
      const length = new DataView(held.buffer, held.byteOffset).getUint32(1, true);
      if (held.length < HEADER + length) break;
      yield [String.fromCharCode(held[0]), held.slice(HEADER, HEADER + length)];
      held = held.subarray(HEADER + length);
    }
  }
}
