/** OpenAI's categories, in the order in which it sends them. */
export const MODERATION_CATEGORIES = [
  'harassment',
  'harassment/threatening',
  'sexual',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm/intent',
  'self-harm/instructions',
  'self-harm',
  'sexual/minors',
  'violence',
  'violence/graphic',
] as const;

export type ModerationCategory = (typeof MODERATION_CATEGORIES)[number];

/** Longest match of any of the patterns below, at least. */
export const MAX_PHRASE_CHARS = 200;

const GROUPS = '(?:jews|muslims|christians|blacks|whites|asians|gays|immigrants|refugees|women|foreigners)';
const GROUPS_RU = '(?:евреев|мусульман|христиан|негров|азиатов|геев|мигрантов|беженцев|женщин|иностранцев)';
const GROUPS_ZH = '(?:犹太人|穆斯林|基督徒|黑人|白人|亚洲人|同性恋|移民|难民|女人|外国人)';

/**
 * A demo's idea of moderation: a few plain words and phrases of English, Russian and Chinese. It knows no context, so
 * that it flags what is harmless ("kill the process") and misses most of what is not. Not for use on real content.
 */
const PHRASES: Readonly<Record<ModerationCategory, readonly string[]>> = {
  harassment: [
    'idiot|moron|imbecile|scumbag|worthless (?:piece|trash)',
    'идиот|дебил|придурок|ничтожеств',
    '白痴|蠢货|废物|贱人',
  ],
  'harassment/threatening': [
    "(?:will|'ll|going to|gonna) (?:kill|hurt|stab|shoot|beat|destroy) you",
    '(?:тебя|вас) (?:убью|зарежу|застрелю|изобью)|(?:убью|зарежу|застрелю|изобью) (?:тебя|вас)',
    '我?要?(?:杀了|打死|弄死)你',
  ],
  sexual: [
    'porn|erotic|nudes?(?!\\p{L})|orgasm|have sex|blowjob',
    'порн|эротик|оргазм|заняться сексом',
    '色情|裸照|做爱|黄片',
  ],
  hate: [
    `hate (?:all )?(?:the )?${GROUPS}|subhuman|inferior race|go back to your country`,
    `ненавижу (?:всех )?${GROUPS_RU}|недочеловек|низш\\p{L}+ рас`,
    `(?:讨厌|痛恨|憎恨)(?:所有)?${GROUPS_ZH}|劣等民族|劣等种族`,
  ],
  'hate/threatening': [
    `(?:kill|exterminate|gas|shoot|murder) (?:all )?(?:the )?${GROUPS}`,
    `(?:убить|истребить|уничтожить|перестрелять) (?:всех )?${GROUPS_RU}`,
    `(?:杀光|消灭|灭绝)(?:所有)?${GROUPS_ZH}`,
  ],
  illicit: [
    'shoplift|launder money|cook meth|(?:make|buy|build|sell) (?:a |some )?(?:bomb|explosives|meth|cocaine|heroin|drugs)|hack into|steal (?:a car|credit card)',
    'отмыть деньги|(?:сделать|собрать|купить|продать|сварить) (?:бомбу|взрывчатку|наркотик|героин|кокаин|мет)|угнать машину|взломать',
    '洗钱|(?:制造|制作|购买|买|卖)(?:炸弹|炸药|毒品|海洛因|冰毒)|偷车|贩毒',
  ],
  'illicit/violent': [
    '(?:make|build) (?:a |some )?(?:bomb|explosives|pipe bomb)|buy (?:a |an )?(?:gun|illegal weapon)',
    '(?:сделать|собрать|купить) (?:бомбу|взрывчатку|оружие|пистолет)',
    '(?:制造|制作|购买|买)(?:炸弹|炸药|枪支|枪)',
  ],
  'self-harm/intent': [
    "(?:want|going|plan|planning|gonna|will|i'll)(?: to)? (?:kill|hurt|cut|hang) myself|(?:want|going) to die|end my life",
    '(?:хочу|собираюсь) (?:умереть|убить себя|покончить с собой)|покончу с собой|убью себя|не хочу жить',
    '我?(?:想死|不想活|想自杀|要自杀)',
  ],
  'self-harm/instructions': [
    'how to (?:kill|hurt|cut|hang) (?:myself|yourself)|how to commit suicide|suicide methods?|ways to (?:die|commit suicide)',
    'как (?:убить себя|покончить с собой|умереть)|способы? (?:самоубийства|суицида)',
    '自杀(?:方法|方式|教程)|(?:怎么|如何|怎样)自杀',
  ],
  'self-harm': [
    'suicid|self-harm|anorexia|(?:kill|killing|hurt|hurting|cut|cutting|hang) (?:myself|yourself)|end my life|want to die',
    'суицид|самоубийств|(?:убить|убью|порезать|порежу) себя|покончить с собой|покончу с собой|хочу умереть|не хочу жить',
    '自杀|自残|割腕|轻生|想死|不想活',
  ],
  'sexual/minors': [
    '(?:child|minor|underage|teen) (?:porn|sex|erotic|nude)|sex with (?:a child|a minor|children|minors)',
    'детск\\p{L}+ порн|секс с (?:детьми|ребенком|несовершеннолетн)',
    '儿童色情|未成年(?:人)?(?:色情|裸照)',
  ],
  violence: [
    '(?:kill|murder|stab|slaughter|massacr|tortur|behead|dismember|strangl)\\p{L}*|shoot (?:you|him|her|them|people)|beat (?:you|him|her|them) up',
    '(?:убить|убью|убьем|убиват|убийств|зареза|зарежу|застрел|расстрел|изби|пытат|задуш|обезглав|расчлен)\\p{L}*',
    '杀(?:死|人|掉|害|光|了)|谋杀|屠杀|砍死|打死|弄死|捅死|虐杀|肢解|斩首',
  ],
  'violence/graphic': [
    '(?:behead|dismember|disembowel|mutilat|decapitat)\\p{L}*|blood everywhere|guts (?:spill|hang)',
    '(?:обезглав|расчлен|выпотрош)\\p{L}*|кишки наружу|лужа крови',
    '肢解|斩首|开膛破肚|血肉模糊|血淋淋',
  ],
};

/** Words of scripts with spaces match from their beginning, and as a beginning: `porn` is in `pornography`. */
const PATTERNS = MODERATION_CATEGORIES.map((category) => {
  const [english = '', russian = '', chinese = ''] = PHRASES[category];
  return [category, new RegExp(`(?<!\\p{L})(?:${english}|${russian})|${chinese}`, 'iu')] as const;
});

/** The categories of which a text has a word. */
export function flaggedCategories(text: string): readonly ModerationCategory[] {
  const plain = text.normalize('NFKC').replace(/ё/gi, 'е').replace(/[‘’]/g, "'").replace(/\s+/g, ' ');
  return PATTERNS.filter(([, pattern]) => pattern.test(plain)).map(([category]) => category);
}
