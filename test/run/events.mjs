import { inspect } from 'node:util';

/** Tells test/run.mjs, a line of JSON each, how the tests of a process ended. */
// biome-ignore lint/style/noDefaultExport: Node's runner wants it so.
export default async function* events(source) {
  const path = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      path.length = data.nesting;
      path.push(data.name);
      yield line({ kind: 'begun', path });
    } else if (type === 'test:pass' || type === 'test:fail') {
      path.length = data.nesting;
      yield line({ ...endOf(type, data, [...path, data.name]), ms: data.details.duration_ms });
    } else if (type === 'test:diagnostic' && data.nesting > 0) {
      yield line({ kind: 'note', text: data.message });
    }
  }
  yield line({ kind: 'over' });
}

function endOf(type, { skip, details }, path) {
  const isSuite = details.type === 'suite';
  if (skip !== undefined) return { kind: 'skipped', path, reason: typeof skip === 'string' ? skip : '' };
  if (type === 'test:pass') return { kind: isSuite ? 'suite' : 'passed', path };
  const { error } = details;
  // Its tests have said why.
  if (isSuite && error?.failureType === 'subtestsFailed') return { kind: 'suite', path };
  return { kind: 'failed', path, error: inspect(error?.cause ?? error) };
}

function line(event) {
  return `${JSON.stringify(event)}\n`;
}
