import { crc32 } from 'node:zlib';
import { nextTurn } from '../turns.js';

/** Samples in a second, as OpenAI's `pcm` has them. */
export const SAMPLE_RATE = 24_000;

/**
 * Each half of a byte is one of 16 tones. They lie 400 Hz apart, so that in 60 samples or more no tone sounds like
 * another.
 */
const TONES = 16;
const LOWEST_HZ = 600;
const STEP_HZ = 400;
const SAMPLES_PER_TONE = 240;
const MIN_SAMPLES_PER_TONE = 60;
const MAX_SAMPLES_PER_TONE = 960;
const AMPLITUDE = 12_000;
/** `MG`, samples for each tone of the text, its bytes and their checksum; always spoken at the usual speed. */
const HEADER_BYTES = 12;
const MAGIC = 0x4d47;
const BYTES_PER_STEP = 32;

/** How many samples a text of so many bytes takes. @param speed from 0.25 to 4 */
export function spokenSamples(textBytes: number, speed: number): number {
  return 2 * (HEADER_BYTES * SAMPLES_PER_TONE + textBytes * samplesPerTone(speed));
}

/** Speaks a text in tones: 16-bit samples, little-endian, mono. About 100 letters take two seconds. */
export function* speak(text: Buffer, speed: number): Generator<Buffer, void, undefined> {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(MAGIC, 0);
  header.writeUInt16BE(samplesPerTone(speed), 2);
  header.writeUInt32BE(text.length, 4);
  header.writeUInt32BE(crc32(text), 8);
  yield* tonesOf(header, SAMPLES_PER_TONE);
  yield* tonesOf(text, samplesPerTone(speed));
}

/** The text in samples that `speak` made, silence before them or not; `undefined`: there is none. */
export async function hear(samples: Int16Array, signal: AbortSignal): Promise<string | undefined> {
  const begin = samples.findIndex((sample) => sample !== 0);
  if (begin === -1) return undefined;
  const header = await listen(samples.subarray(begin), { bytes: HEADER_BYTES, perTone: SAMPLES_PER_TONE }, signal);
  if (header === undefined || header.readUInt16BE(0) !== MAGIC) return undefined;
  const perTone = header.readUInt16BE(2);
  if (perTone < MIN_SAMPLES_PER_TONE || perTone > MAX_SAMPLES_PER_TONE) return undefined;
  const spoken = samples.subarray(begin + 2 * HEADER_BYTES * SAMPLES_PER_TONE);
  const text = await listen(spoken, { bytes: header.readUInt32BE(4), perTone }, signal);
  return text === undefined || crc32(text) !== header.readUInt32BE(8) ? undefined : text.toString('utf8');
}

function samplesPerTone(speed: number): number {
  return Math.round(SAMPLES_PER_TONE / speed);
}

function* tonesOf(bytes: Buffer, perTone: number): Generator<Buffer, void, undefined> {
  const waves = Array.from({ length: TONES }, (_, tone) => {
    const wave = Buffer.alloc(2 * perTone);
    // A cosine: its first sample is not silence, so that `hear` finds where it begins.
    for (let at = 0; at < perTone; at += 1)
      wave.writeInt16LE(Math.round(AMPLITUDE * Math.cos(phase(tone, at))), 2 * at);
    return wave;
  });
  for (let at = 0; at < bytes.length; at += BYTES_PER_STEP) {
    const nibbles = [...bytes.subarray(at, at + BYTES_PER_STEP)].flatMap((byte) => [byte >> 4, byte & 15]);
    yield Buffer.concat(nibbles.flatMap((nibble) => waves[nibble] ?? []));
  }
}

interface Expected {
  readonly bytes: number;
  readonly perTone: number;
}

/** `undefined`: there are not as many samples. */
async function listen(
  samples: Int16Array,
  { bytes, perTone }: Expected,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (bytes * 2 * perTone > samples.length) return undefined;
  const loudest = loudestTone(perTone);
  const heard = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 1) {
    if (at % BYTES_PER_STEP === BYTES_PER_STEP - 1) await nextTurn(signal);
    const from = at * 2 * perTone;
    heard[at] = (loudest(samples, from) << 4) | loudest(samples, from + perTone);
  }
  return heard;
}

/** Which tone the samples from there on are most like, by their share of each tone's cosine and sine. */
function loudestTone(perTone: number): (samples: Int16Array, from: number) => number {
  const cosines = Array.from({ length: TONES }, (_, tone) =>
    Float64Array.from({ length: perTone }, (_, at) => Math.cos(phase(tone, at))),
  );
  const sines = Array.from({ length: TONES }, (_, tone) =>
    Float64Array.from({ length: perTone }, (_, at) => Math.sin(phase(tone, at))),
  );
  const share = (wave: Float64Array | undefined, samples: Int16Array, from: number): number => {
    let sum = 0;
    if (wave !== undefined) for (let at = 0; at < perTone; at += 1) sum += (wave[at] ?? 0) * (samples[from + at] ?? 0);
    return sum;
  };
  return (samples, from) => {
    let loudest = 0;
    let most = -1;
    for (let tone = 0; tone < TONES; tone += 1) {
      const power = share(cosines[tone], samples, from) ** 2 + share(sines[tone], samples, from) ** 2;
      if (power > most) [most, loudest] = [power, tone];
    }
    return loudest;
  };
}

function phase(tone: number, at: number): number {
  return (2 * Math.PI * (LOWEST_HZ + STEP_HZ * tone) * at) / SAMPLE_RATE;
}
