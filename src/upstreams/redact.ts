/** Stands in place of what is nobody's business. */
const REDACTED = '[redacted]';

/** Bounds the time spent on a hostile text; what is left still exceeds what is shown. */
const MAX_EXAMINED_CHARS = 4_000;

/** A run of characters of which an address, a path or a key may consist. */
const WORD = /[^\s"'`<>(){}[\],;|]+/g;

/** Keys and account names by their beginnings. */
const SECRET = new RegExp(
  [
    String.raw`\b(?:sk|rk|pk|csk|xai|gsk|pplx|nvapi|ghp|gho|ghs|hf|r8|fw|tgp|glpat|github_pat|xox[abprs]|ya29)[-_.][\w*.-]{4,}`,
    String.raw`\b(?:org|proj|project|team|acct|workspace|tenant)[-_](?=[\w-]{0,128}[\dA-Z])[\w-]{4,}`,
    String.raw`\bAIza[\w-]{16,}`,
    String.raw`\bA[KS]IA[A-Z0-9]{8,}`,
    // Accounts and projects of clouds.
    String.raw`\barn:aws[\w:/.-]+`,
    String.raw`\b(?:projects|organizations|folders|subscriptions|resourceGroups)/[\w.-]+`,
    String.raw`\bip-\d+-\d+-\d+-\d+\b`,
    // A key of which the middle is hidden.
    String.raw`\b\w+\*{3,}[\w*]*`,
    String.raw`\beyJ[\w.-]{8,}`,
    String.raw`\b[0-9a-fA-F]{32,}\b`,
  ].join('|'),
  'g',
);

/** OpenAI's public pages, which its errors refer to. */
const PUBLIC_HOSTS = new Set([
  'platform.openai.com',
  'help.openai.com',
  'status.openai.com',
  'developers.openai.com',
  'community.openai.com',
  'openai.com',
  'www.openai.com',
]);

/** Words after which a name is an account's. */
const ACCOUNT_WORDS = new Set(
  'organization organisation org project workspace account acct tenant team user customer subscription'.split(' '),
);
/** Words that may stand between the two: `team with id x`, `account: x`. */
const BEFORE_NAMES = new Set(['id', 'ids', 'uuid', 'name', 'named', 'number', 'with', '', '-']);
/** Words after which a name is a machine's, as Node writes them, or a key. */
const BEFORE_SECRETS = new Set(['enotfound', 'eai_again', 'econnrefused', 'bearer']);
/** Names of what is secret, before a colon or `=`. */
const SECRET_NAMES = new Set(
  'api_key api-key apikey x-api-key api_token access_token auth_token access_key secret secret_key client_secret password passwd'.split(
    ' ',
  ),
);

/** Words after which a name with a digit is a machine's. */
const MACHINE_WORDS = new Set(
  'host hostname server node pod worker machine replica shard backend peer instance nameserver container vm'.split(' '),
);

/** Beginnings of paths that are OpenAI's routes, or point into the request. */
const KNOWN_ROOTS = new Set(
  'v1 v1beta v2 chat completions responses embeddings moderations models files images audio batches openai messages model input tools metadata functions response_format tool_choice stop prompt'.split(
    ' ',
  ),
);

/** Endings of names that are files where a directory stands before them. */
const FILE_ENDINGS = new Set(
  'gguf ggml safetensors bin pt pth onnx py pyc so json yaml yml toml js ts mjs rs go cpp cc cu h log sock pem key crt env sqlite db txt conf cfg sh'.split(
    ' ',
  ),
);

/** Last labels of host names: the usual ones, and those of private networks. */
const TOP_LEVELS = new Set(
  'com net org io ai dev app cloud internal local localdomain lan corp home intranet private svc cluster test example invalid co de uk eu us cn fr jp ru in ca au ch nl se at be br es it kr pl no fi dk info biz tech xyz me gg sh run site online host systems network compute amazonaws azure prod production staging zone museum k8s consul edu gov mil int'.split(
    ' ',
  ),
);

/**
 * A text of an upstream without addresses, hosts, file paths, keys and account names. Linear in the text, of which no more than
 * 4,000 characters are looked at.
 */
export function redacted(text: string): string {
  const examined = text.slice(0, MAX_EXAMINED_CHARS);
  let before = '';
  let isNameNext = false;
  let end = 0;
  return examined.replace(WORD, (word, at: number) => {
    // A list goes on after a comma, not a name.
    if (isNameNext && END_OF_PHRASE.test(examined.slice(end, at))) isNameNext = false;
    const plainBefore = before.replace(/[:=]$/, '');
    const isMachine = isBlank(examined, end, at) && MACHINE_WORDS.has(plainBefore) && isMachineName(word);
    const isKey = BEFORE_SECRETS.has(before) || (plainBefore !== before && SECRET_NAMES.has(plainBefore));
    const shown = isMachine || isKey || (isNameNext && isName(word)) ? REDACTED : redactedWord(word);
    isNameNext = isBeforeName(word, isNameNext);
    before = word.toLowerCase();
    end = at + word.length;
    return shown;
  });
}

/** Names of upstreams that tell nothing: our own defaults, and words that stand in many a text. */
const COMMON_NAMES = new Set(
  `http https openai function demo queued upstream model models chat api llm gateway server host default main primary secondary
   fallback backup local remote cloud test prod dev staging request response messages message prompt tool tools user assistant system
   error limit key token tokens text image audio file files provider service proxy router`.split(/\s+/),
);

/**
 * A text of an upstream without the host's own name for that upstream.
 * @param shown the client's name of the model, which may be the same.
 */
export function withoutUpstreamName(text: string, upstream: string, shown: string): string {
  const name = upstream.trim().toLowerCase();
  if (name === '' || COMMON_NAMES.has(name) || name === shown.toLowerCase()) return text;
  const lower = text.toLowerCase();
  // Lower case may be of another length: then nothing can be said about places.
  if (lower.length !== text.length) return text.split(upstream).join(REDACTED);
  let left = '';
  let from = 0;
  for (let at = lower.indexOf(name); at !== -1; at = lower.indexOf(name, at + name.length)) {
    const end = at + name.length;
    if (
      isPartOfName(lower.charAt(at - 1), lower.charAt(at - 2)) ||
      isPartOfName(lower.charAt(end), lower.charAt(end + 1))
    )
      continue;
    left += text.slice(from, at) + REDACTED;
    from = end;
  }
  return left + text.slice(from);
}

/** Whether the name goes on with that character: punctuation does not, where nothing follows it. */
function isPartOfName(character: string, beyond: string): boolean {
  return /[\w]/.test(character) || (/[-./]/.test(character) && /\w/.test(beyond));
}

const END_OF_PHRASE = /[,;|)}\]>]/;

/** Whether a word says that the next names an account: it is such a word, or leads on from one. */
function isBeforeName(word: string, isNameNext: boolean): boolean {
  const plain = word.replace(/[:=#]$/, '').toLowerCase();
  return isAccountWord(plain) || (isNameNext && BEFORE_NAMES.has(plain));
}

/** Whether it is a word for an account, or for the id of one: `team`, `account_id`, `projectId`. */
function isAccountWord(plain: string): boolean {
  return ACCOUNT_WORDS.has(plain) || ACCOUNT_WORDS.has(plain.replace(/[_-]?(?:id|name)$/, ''));
}

function isBlank(text: string, from: number, to: number): boolean {
  return text.slice(from, to).trim() === '';
}

/** Whether a word can be the name of a machine: letters and a digit, and no version. */
function isMachineName(word: string): boolean {
  return /^[A-Za-z][A-Za-z\d.-]*$/.test(word) && /\d/.test(word) && !/^[vV]\d/.test(word);
}

/** Whether a word can be the name of an account: a small number or a plain word tells nothing. */
function isName(word: string): boolean {
  return /[\d_@-]/.test(word) && !/^[:=#-]$/.test(word) && !/^\d{1,4}\.?$/.test(word);
}

/** Where the name begins in `account:x`, `host=x1` or `password=x`; -1 if it is none. */
function nameStart(word: string): number {
  const at = word.search(/[:=#]/);
  if (at === -1 || at === word.length - 1) return -1;
  const plain = word.slice(0, at).toLowerCase();
  const name = word.slice(at + 1);
  const isNamed =
    SECRET_NAMES.has(plain) ||
    (isAccountWord(plain) && isName(name)) ||
    (MACHINE_WORDS.has(plain) && isMachineName(name));
  return isNamed ? at + 1 : -1;
}

function redactedWord(whole: string): string {
  const end = endOfWord(whole);
  const word = whole.slice(0, end);
  const rest = whole.slice(end);
  const name = nameStart(word);
  if (name !== -1) return word.slice(0, name) + REDACTED + rest;
  const scheme = word.indexOf('://');
  if (scheme !== -1) {
    return (isPublic(word, scheme) ? word.replace(SECRET, REDACTED) : beforeScheme(word, scheme) + REDACTED) + rest;
  }
  const path = pathStart(word);
  if (path !== -1) return word.slice(0, path) + REDACTED + rest;
  const value = word.indexOf('=') + 1;
  const last = word.slice(value);
  if (isAddress(last) || isRandom(last)) return word.slice(0, value) + REDACTED + rest;
  return word.replace(SECRET, REDACTED) + rest;
}

/** End of a word without the punctuation after it. */
function endOfWord(word: string): number {
  let end = word.length;
  while (end > 0 && '.:!?'.includes(word.charAt(end - 1)) && !word.endsWith('::', end)) end -= 1;
  return end;
}

function isPublic(word: string, scheme: number): boolean {
  if (word.slice(0, scheme).toLowerCase() !== 'https') return false;
  const host = /^[\w.-]*/.exec(word.slice(scheme + 3))?.[0].toLowerCase() ?? '';
  const after = word.charAt(scheme + 3 + host.length);
  return PUBLIC_HOSTS.has(host) && (after === '' || after === '/' || after === '#');
}

/** The part of a word before a URL: `url=`. */
function beforeScheme(word: string, scheme: number): string {
  let start = scheme;
  while (start > 0 && /[\w+.-]/.test(word.charAt(start - 1))) start -= 1;
  return word.slice(0, start);
}

/** Where a file path begins in a word; -1 if there is none. */
function pathStart(word: string): number {
  if (/^\\\\[\w.-]/.test(word)) return 0;
  const drive = /(?:^|[=:])([A-Za-z]):[\\/]/.exec(word);
  if (drive !== null) return word.indexOf(drive[1] ?? '', drive.index);
  const absolute = /(?:^|[=:])[~.]{0,2}\//.exec(word);
  if (absolute !== null) {
    const start = absolute.index + (/^[=:]/.test(absolute[0]) ? 1 : 0);
    return isFilePath(word.slice(start)) ? start : -1;
  }
  return /[\\/]/.test(word) && hasFileEnding(word) ? 0 : -1;
}

function isFilePath(path: string): boolean {
  const segments = path.split('/');
  const [first = '', second = ''] = segments;
  if (first !== '') return true;
  if (!/^[\w.@-]/.test(second)) return false;
  return !KNOWN_ROOTS.has(second.toLowerCase()) || hasFileEnding(path);
}

function hasFileEnding(path: string): boolean {
  const name = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  const dot = name.lastIndexOf('.');
  return dot !== -1 && FILE_ENDINGS.has(/^\w*/.exec(name.slice(dot + 1))?.[0].toLowerCase() ?? '');
}

/** Whether a word is an e-mail address, an IP address or a host name, with a port or without. */
function isAddress(word: string): boolean {
  if (word.includes('@') && word.includes('.')) return true;
  if (isIpv6(word)) return true;
  const slash = word.indexOf('/');
  const authority = slash === -1 ? word : word.slice(0, slash);
  const colon = authority.indexOf(':');
  const host = (colon === -1 ? authority : authority.slice(0, colon)).toLowerCase();
  const port = colon === -1 ? '' : authority.slice(colon + 1);
  if (colon !== -1 && !/^\d{2,5}$/.test(port)) return false;
  if (host === 'localhost') return true;
  const labels = host.split('.');
  if (!labels.every((label) => /^[a-z0-9-]{1,63}$/.test(label))) return false;
  if (labels.length === 4 && labels.every((label) => /^\d{1,3}$/.test(label))) return true;
  const last = labels.at(-1) ?? '';
  if (!/^[a-z]{2,24}$/.test(last)) return colon !== -1 && labels.length === 1 && /^[a-z].*[-\d]/.test(host);
  if (labels.length === 1) return colon !== -1 && host.includes('-');
  if (PUBLIC_HOSTS.has(host)) return false;
  if (colon !== -1 || TOP_LEVELS.has(last)) return !labels.some((label) => label !== last && /^\d+$/.test(label));
  return labels.length > 2 && labels.some((label) => /^[a-z][a-z0-9]*(?:-|[a-z]\d+$)/.test(label));
}

/** Whether a word is one of the keys that have no beginning of their own: long, of digits and letters of both sizes. */
function isRandom(word: string): boolean {
  return /^[A-Za-z0-9]{24,}$/.test(word) && /\d/.test(word) && /[a-z]/.test(word) && /[A-Z]/.test(word);
}

function isIpv6(word: string): boolean {
  const address = word.includes('%') ? word.slice(0, word.indexOf('%')) : word;
  if (!/^[0-9a-fA-F:.]+$/.test(address)) return false;
  const colons = address.split(':').length - 1;
  return colons >= 2 && (address.includes('::') || colons === 7 || (colons === 6 && address.includes('.')));
}
