import { patternTexts } from './schema-pattern.js';
import { textMatches } from './schema-pattern-match.js';
import type { Plain } from './schema-plain.js';
import type { Scope } from './schema-scope.js';

/** Longest string made, whatever the schema asks for. */
const MAX_CHARS = 10_000;
/** How many plain texts are proposed. */
const FURTHER = 6;

/**
 * Strings of the length and with the patterns that the schema asks for, the likeliest ones first.
 * @param name what they are for. @param variant asks for others, for sets of unique items.
 */
export function* schemaStrings(plain: Plain, name: string, variant: number, scope: Scope): Generator<string> {
  const maxLength = Math.min(plain.maxLength, MAX_CHARS);
  if (plain.minLength > maxLength) return;
  for (const text of proposedTexts(plain, name, variant, scope)) {
    if (scope.budget.chars < 0) return;
    scope.budget.chars -= text.length;
    const length = [...text].length;
    const isLong = length >= plain.minLength && length <= maxLength;
    if (isLong && plain.patterns.every((pattern) => textMatches(pattern, text, scope) === true)) yield text;
  }
}

function* proposedTexts(plain: Plain, name: string, variant: number, scope: Scope): Generator<string> {
  const { minLength, patterns, format } = plain;
  const maxLength = Math.min(plain.maxLength, MAX_CHARS);
  const sample = format === undefined ? undefined : sampleOf(format, variant);
  if (sample !== undefined) yield sample;
  const parts: string[] = [];
  for (const source of patterns) {
    const pattern = scope.pattern(source);
    if (pattern === undefined) return;
    let fitting: string | undefined;
    for (const text of patternTexts(pattern, { minLength, maxLength, variant }, scope.budget)) {
      if (fitting === undefined && textMatches(source, text, scope) === true) fitting = text;
      yield text;
    }
    parts.push(fitting ?? '');
  }
  // What one pattern asks for may stand beside what another one does.
  const joined = patterns.length > 1 ? [parts.join(''), parts.toReversed().join('')] : [];
  yield* joined.flatMap((text) => [text, `${text}x`]);
  for (let further = 0; further < FURTHER; further += 1) {
    yield fitted(name === '' ? 'demo' : `demo ${name}`, variant + further, minLength, maxLength);
  }
}

/** Lengths count code points, as JSON Schema does. */
function fitted(base: string, variant: number, minLength: number, maxLength: number): string {
  const unit = [...base.slice(0, 100)];
  const suffix = variant === 0 ? '' : variant.toString(36);
  const wanted = Math.max(unit.length, minLength - suffix.length);
  const chars = Array.from({ length: Math.max(0, Math.min(wanted, maxLength - suffix.length)) }, (_, index) => {
    return unit[index % (unit.length + 1)] ?? ' ';
  });
  return [...chars, ...suffix].slice(0, maxLength).join('');
}

function sampleOf(format: string, variant: number): string | undefined {
  const day = String(1 + (variant % 28)).padStart(2, '0');
  const second = String(variant % 60).padStart(2, '0');
  const number = variant === 0 ? '' : String(variant);
  switch (format) {
    case 'date':
      return `2025-01-${day}`;
    case 'date-time':
      return `2025-01-${day}T12:00:${second}Z`;
    case 'time':
      return `12:00:${second}Z`;
    case 'duration':
      return `P${1 + variant}D`;
    case 'email':
    case 'idn-email':
      return `demo${number}@example.com`;
    case 'hostname':
    case 'idn-hostname':
      return `demo${number}.example.com`;
    case 'uri':
    case 'url':
    case 'iri':
      return `https://example.com/demo${number}`;
    case 'uri-reference':
    case 'iri-reference':
    case 'uri-template':
      return `/demo${number}`;
    case 'uuid':
      return `00000000-0000-4000-8000-${variant.toString(16).padStart(12, '0').slice(-12)}`;
    case 'ipv4':
      return `192.0.2.${1 + (variant % 254)}`;
    case 'ipv6':
      return `2001:db8::${(1 + variant).toString(16)}`;
    case 'json-pointer':
      return `/demo${number}`;
    case 'regex':
      return `^demo${number}$`;
    default:
      return undefined;
  }
}
