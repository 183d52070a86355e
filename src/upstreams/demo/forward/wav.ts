/** Sound that was found in a file. */
export interface Recording {
  readonly seconds: number;
  /** Of the first channel; `undefined`: not 16 bits of plain PCM. */
  readonly samples: Int16Array | undefined;
  readonly sampleRate: number;
}

const HEADER_BYTES = 44;
const BYTES_PER_SAMPLE = 2;
const PCM = 1;

/** The head of a WAV file of 16-bit mono. */
export function wavHeader(samples: number, sampleRate: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  const dataBytes = samples * BYTES_PER_SAMPLE;
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(PCM, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(sampleRate, 24);
  header.writeUInt32LE(sampleRate * BYTES_PER_SAMPLE, 28);
  header.writeUInt16LE(BYTES_PER_SAMPLE, 32);
  header.writeUInt16LE(8 * BYTES_PER_SAMPLE, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(dataBytes, 40);
  return header;
}

/** What a WAV file has in it; `undefined`: it is none. */
export function readWav(bytes: Buffer): Recording | undefined {
  if (bytes.toString('latin1', 0, 4) !== 'RIFF' || bytes.toString('latin1', 8, 12) !== 'WAVE') return undefined;
  let format: Buffer | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = bytes.toString('latin1', at, at + 4);
    const size = bytes.readUInt32LE(at + 4);
    // A file that was streamed says 0xffffffff: its data goes to the end.
    const content = bytes.subarray(at + 8, at + 8 + size);
    if (name === 'fmt ' && content.length >= 16) format = content;
    if (name === 'data') return format === undefined ? undefined : recordingOf(format, content);
    // Chunks of an odd size have a byte of padding.
    at += 8 + size + (size % 2);
  }
  return undefined;
}

/** The samples of 16-bit little-endian PCM. @param channels of which the first is taken. */
export function samplesOf(pcm: Buffer, channels = 1): Int16Array {
  const frameBytes = BYTES_PER_SAMPLE * channels;
  const samples = new Int16Array(Math.floor(pcm.length / frameBytes));
  for (let at = 0; at < samples.length; at += 1) samples[at] = pcm.readInt16LE(at * frameBytes);
  return samples;
}

function recordingOf(format: Buffer, data: Buffer): Recording | undefined {
  const channels = format.readUInt16LE(2);
  const sampleRate = format.readUInt32LE(4);
  const bytesPerSecond = format.readUInt32LE(8);
  if (channels === 0 || sampleRate === 0 || bytesPerSecond === 0) return undefined;
  const plain = format.readUInt16LE(0) === PCM && format.readUInt16LE(14) === 16;
  const samples = plain ? samplesOf(data, channels) : undefined;
  return { seconds: data.length / bytesPerSecond, samples, sampleRate };
}
