/** Turns measured rounds into Markdown. */
import { cpus, totalmem } from 'node:os';

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const short = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2));
const spread = (values) => {
  if (!values.every((value) => Number.isFinite(value))) return '–';
  const text = short(median(values));
  return values.length === 1 ? text : `${text} (${short(Math.min(...values))}–${short(Math.max(...values))})`;
};
const share = (rounds) =>
  `${short(median(rounds.map(({ helpers }) => helpers.generator)))} + ${short(median(rounds.map(({ helpers }) => helpers.upstream)))}`;

/** The load and the upstream, as shares of a core. */
const HELPERS = ['generator + upstream, of a core', share];
const perSecond = (unit) => [`${unit}s per second`, (rounds) => spread(rounds.map((round) => round.perSecond))];
const each = (name, value) => [name, (rounds) => spread(rounds.map(value))];

/** What each figure is called, how a round becomes a number, how two of one round compare, and what stands beside them. */
const figures = {
  cpu: {
    column: (unit) => `CPU µs per ${unit}`,
    value: (round) => round.cpuUs,
    compare: (base, own) => base.cpuUs / own.cpuUs,
    more: (unit) => [perSecond(unit), HELPERS],
  },
  rate: {
    column: (unit) => `${unit}s per second`,
    value: (round) => round.perSecond,
    compare: (base, own) => own.perSecond / base.perSecond,
    more: (unit) => [
      each(`CPU µs per ${unit}`, (round) => round.cpuUs),
      each('of its core', (round) => round.share),
      HELPERS,
    ],
  },
  latency: {
    column: () => 'added p50, ms',
    value: (round) => round.addedMs,
    compare: (base, own) => own.addedMs / base.addedMs,
    more: () => [each('added p99, ms', (round) => round.addedP99Ms), each('p50, ms', (round) => round.p50Ms)],
  },
  memory: {
    column: (unit) => `RSS KB per ${unit}`,
    value: (round) => round.rssKb,
    compare: (base, own) => own.rssKb / base.rssKb,
    more: () => [each('heap and buffers, KB', (round) => round.usedKb)],
  },
  garbage: {
    column: (unit) => `garbage KB per ${unit}`,
    value: (round) => round.garbageKb,
    compare: (base, own) => own.garbageKb - base.garbageKb,
    compared: 'KB above the line',
    more: (unit) => [each(`promises per ${unit}`, (round) => round.promises)],
  },
};

/**
 * One scenario as a table, and what became of its targets. An entry with a single failure gets its failure printed and no
 * figure; so does one during which the generator or the upstream was too busy to tell.
 *
 * @param {Record<string, object[]>} rounds By entry.
 * @param {Record<string, string>} labels By entry.
 */
export function scenarioTable(scenario, labels, rounds) {
  const figure = figures[scenario.figure];
  const { base: standard = 'line', targets = {}, unit } = scenario;
  const more = figure.more(unit);
  const isSound = (key) => rounds[key]?.every((round) => round.failures === 0) && refusal(rounds[key]) === undefined;
  const compared = (base, key) =>
    isSound(base) && isSound(key)
      ? rounds[key].map((round, i) => figure.compare(rounds[base][i % rounds[base].length], round))
      : [];
  const comparedName = figure.compared ?? (standard === 'line' ? '× line' : `× ${labels[standard]}`);
  const head = ['', figure.column(unit), comparedName, ...more.map(([name]) => name)];
  const checks = [];
  const rows = Object.keys(rounds).map((key) => {
    for (const target of targets[key] ?? []) {
      const own = target.of && isSound(key) ? rounds[key].map((round) => round[target.of]) : undefined;
      checks.push(checked(scenario, labels, key, target, own ?? compared(target.base ?? standard, key)));
    }
    if (!isSound(key)) return [labels[key], `**${problem(rounds[key])}**`.replaceAll(/[|\n]/g, ' ')];
    const ratios = compared(standard, key);
    const values = rounds[key].map(figure.value);
    const cells = more.map(([, cell]) => cell(rounds[key]));
    return [labels[key], spread(values), ratios.length === 0 ? 'no line' : spread(ratios), ...cells];
  });
  const lines = [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((row) => `| ${row.join(' | ')} |`);
  const remarks = Object.entries(rounds).flatMap(([key, list]) => {
    const remark = list.find((round) => round.remark)?.remark;
    return remark === undefined ? [] : [`${labels[key]}: ${remark}.`, ''];
  });
  return { text: [`### ${scenario.title}`, '', ...lines, '', ...remarks].join('\n'), checks };
}

function problem(list) {
  const failed = list.find((round) => round.failures > 0);
  return failed ? `failed (${failed.failures}): ${failed.firstFailure}` : `refused: ${refusal(list)}`;
}

/** Why figures are not shown: in most rounds something else than the subject was the limit. */
function refusal(list) {
  const refused = list.filter((round) => round.refusal !== undefined);
  return refused.length * 2 > list.length ? refused[0].refusal : undefined;
}

function checked({ title }, labels, key, { least, most, stretch, base, of }, numbers) {
  const wanted = `${least === undefined ? `≤ ${most}` : `≥ ${least}`}${of ? ` ${of}` : ''}${base ? ` × ${labels[base] ?? base}` : ''}${stretch ? ` (stretch ${stretch})` : ''}`;
  const got = numbers.length === 0 ? undefined : median(numbers);
  const isMet = got !== undefined && (least === undefined ? got <= most : got >= least);
  const verdict = got === undefined ? 'not measured' : isMet ? 'met' : '**missed**';
  return { title, label: labels[key], wanted, got: got === undefined ? '–' : spread(numbers), verdict };
}

/** All targets of the scenarios that were run. */
export function targetTable(checks) {
  const rows = checks.map(({ title, label, wanted, got, verdict }) => [title, label, wanted, got, verdict]);
  const head = ['figure', 'subject', 'target, × line where nothing else is said', 'measured', ''];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Where the figures were taken, and when. @param cpusUsed as `splitCpus` tells; `undefined`: nothing is pinned. */
export function machineLine(cpusUsed) {
  const pinned = cpusUsed ? `subject on CPU ${cpusUsed.subject}, helpers on ${cpusUsed.helpers}` : 'not pinned';
  return [
    `${new Date().toISOString().slice(0, 10)}; Node ${process.version} on ${process.platform} ${process.arch}`,
    `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, ${pinned}`,
  ].join('; ');
}

/** How long was measured. */
export function durationLine({ rounds, seconds, warm, settle }) {
  return `${rounds} rounds of ${seconds} s after ${warm} s of warm-up for all and ${settle} s for each, medians (least–most)`;
}
