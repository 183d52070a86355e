import type { Json, JsonObject } from '../../json.js';
import type { Budget } from './schema-flatten.js';
import { type PatternOptions, textOfPattern } from './schema-pattern.js';

/** Longest string made, whatever the schema asks for. */
const MAX_CHARS = 10_000;
/** A pattern may take many steps. */
const PATTERN_WORK = 400;

/**
 * A string for the schema, as long as the budget allows.
 * @param name what it is for. @param variant asks for another one, for sets of unique items.
 */
export function schemaString(schema: JsonObject, name: string, variant: number, budget: Budget): string {
  const maxChars = Math.max(0, Math.min(MAX_CHARS, budget.chars));
  const minLength = Math.min(lengthOf(schema.minLength) ?? 0, maxChars);
  const maxLength = Math.min(lengthOf(schema.maxLength) ?? maxChars, maxChars);
  const text = patternText(schema.pattern, { minLength, maxLength, variant }, budget);
  const sample = typeof schema.format === 'string' ? sampleOf(schema.format, variant) : undefined;
  const fits = sample !== undefined && sample.length >= minLength && sample.length <= maxLength;
  const chosen = text ?? (fits ? sample : fitted(name === '' ? 'demo' : `demo ${name}`, variant, minLength, maxLength));
  budget.chars -= chosen.length;
  return chosen;
}

function patternText(pattern: Json | undefined, options: PatternOptions, budget: Budget): string | undefined {
  if (typeof pattern !== 'string') return undefined;
  budget.work -= PATTERN_WORK;
  return textOfPattern(pattern, options);
}

function lengthOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
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
      return `/demo${number}`;
    case 'uuid':
      return `00000000-0000-4000-8000-${variant.toString(16).padStart(12, '0').slice(-12)}`;
    case 'ipv4':
      return `192.0.2.${1 + (variant % 254)}`;
    case 'ipv6':
      return `2001:db8::${(1 + variant).toString(16)}`;
    default:
      return undefined;
  }
}
