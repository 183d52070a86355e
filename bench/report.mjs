/** Turns measured rounds into Markdown. */
import { cpus, totalmem } from 'node:os';

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
};
const short = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));
const spread = (values) => {
  const text = short(median(values));
  return values.length === 1 ? text : `${text} (${short(Math.min(...values))}–${short(Math.max(...values))})`;
};

/** What each figure is called, how a round becomes a number, and how two numbers of one round compare. */
const figures = {
  cpu: {
    column: (unit) => `CPU µs per ${unit}`,
    value: (round) => round.cpuUs,
    ratio: (base, own) => base.cpuUs / own.cpuUs,
  },
  rate: {
    column: (unit) => `${unit}s per second`,
    value: (round) => round.perSecond,
    ratio: (base, own) => own.perSecond / base.perSecond,
  },
  latency: {
    column: () => 'added p50, ms',
    value: (round) => round.addedMs,
    ratio: (base, own) => own.addedMs / base.addedMs,
  },
  memory: { column: (unit) => `RSS KB per ${unit}`, value: (round) => round.rssKb },
};

function targetCell(target, ratios, values) {
  if (!target) return '–';
  const { least, most, stretch, base } = target;
  const wanted = `${least === undefined ? `≤ ${most}` : `≥ ${least}`}${base ? ` × ${base}` : ''}${stretch ? ` (stretch ${stretch})` : ''}`;
  const numbers = ratios ?? values;
  if (numbers.length === 0) return wanted;
  const got = median(numbers);
  const met = least === undefined ? got <= most : got >= least;
  return `${wanted}: ${base ? `${short(got)}, ` : ''}${met ? 'met' : 'MISSED'}`;
}

function extraColumns(scenario) {
  if (scenario.figure === 'cpu') return [[`${scenario.unit}s per second`, (round) => round.perSecond]];
  if (scenario.figure === 'rate') return [[`CPU µs per ${scenario.unit}`, (round) => round.cpuUs]];
  if (scenario.figure === 'latency') return [['p50, ms', (round) => round.p50Ms]];
  return [['heap and buffers, KB', (round) => round.usedKb]];
}

/**
 * One scenario as a table. A subject with a single failure gets its failure printed and no figure.
 *
 * @param {Record<string, object[]>} rounds By subject.
 */
export function scenarioTable(scenario, subjects, rounds) {
  const figure = figures[scenario.figure];
  const extra = extraColumns(scenario);
  const isSound = (name) => rounds[name]?.every((round) => round.failures === 0);
  const ratiosTo = (base, name) =>
    figure.ratio && isSound(base) && isSound(name)
      ? rounds[name].map((round, i) => figure.ratio(rounds[base][i], round))
      : [];
  const head = [
    '',
    figure.column(scenario.unit),
    ...(figure.ratio ? ['× line'] : []),
    ...extra.map(([name]) => name),
    'target',
  ];
  const rows = Object.keys(rounds).map((name) => {
    const target = scenario.targets[name];
    if (!isSound(name)) {
      const { failures, firstFailure } = rounds[name].find((round) => round.failures > 0);
      return [subjects[name].label, `**failed** (${failures}): ${firstFailure}`.replaceAll(/[|\n]/g, ' ')];
    }
    const values = rounds[name].map(figure.value);
    const ratios = ratiosTo('line', name);
    return [
      subjects[name].label,
      spread(values),
      ...(figure.ratio ? [ratios.length === 0 ? 'no line' : spread(ratios)] : []),
      ...extra.map(([, value]) => spread(rounds[name].map(value))),
      targetCell(target, figure.ratio && ratiosTo(target?.base ?? 'line', name), values),
    ];
  });
  const lines = [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((row) => `| ${row.join(' | ')} |`);
  return [`### ${scenario.title}`, '', ...lines, ...warnings(scenario, rounds).map((text) => `\n${text}`), ''].join(
    '\n',
  );
}

/** A generator or upstream near its own limit makes a rate say little about the subject. */
function warnings(scenario, rounds) {
  const busiest = Object.entries(rounds).filter(([, list]) =>
    list.some(({ load }) => load && load.generator + load.upstream > 0.9 && load.subject < 0.9),
  );
  if (scenario.figure === 'latency' || busiest.length === 0) return [];
  const names = busiest.map(([name]) => name).join(', ');
  return [
    `Warning: generator and upstream were nearer their limit than the subject for ${names}; its rate is a lower bound.`,
  ];
}

/** Where and how the figures were taken. */
export function machineLine(options, cpusUsed) {
  const pinned = cpusUsed ? `subject on CPU ${cpusUsed.subject}, helpers on ${cpusUsed.helpers}` : 'not pinned';
  return [
    `Node ${process.version} on ${process.platform} ${process.arch}, ${cpus().length} × ${cpus()[0]?.model.trim()}`,
    `${Math.round(totalmem() / 2 ** 30)} GB, ${pinned}`,
    `${options.rounds} rounds of ${options.seconds} s after ${options.warm} s of warm-up, medians (least–most)`,
  ].join('; ');
}
