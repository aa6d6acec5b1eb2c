// What a run does, drawn from its seed before it begins: the commands and the faults, each with its
// moment. The same seed gives the same plan; what the system makes of it may differ.

export interface Scale {
  commands: number;
  agents: number;
  /** How long faults go on. */
  seconds: number;
  /** The silence after which an agent counts as lost; freezes are multiples of it. */
  lostAfterMs: number;
}

export interface PlannedCommand {
  atMs: number;
  kind: 'delay' | 'http' | 'deferred' | 'failing';
  /** How long it takes, or how long its start is deferred. */
  ms: number;
  atMostOnce: boolean;
  /** Whether it is submitted under an idempotency key, and again until there is an answer. */
  keyed: boolean;
  /** Which concurrency key it has, from 0. */
  concurrencyKey: number | undefined;
  /** How long after its submission somebody cancels it. */
  cancelAfterMs: number | undefined;
}

export interface Fault {
  atMs: number;
  kind: 'kill' | 'freeze' | 'terminate' | 'isolate' | 'twin' | 'killServer';
  /** The agent it strikes, from 0. */
  agent: number;
  /** How long a killed process stays away, or how long a frozen one is. */
  forMs: number;
}

export interface Plan {
  commands: PlannedCommand[];
  faults: Fault[];
}

const LONGEST_MS = 4_000;

/** One after the other they must not take longer than the rest. */
const CONCURRENCY_KEYS = 6;
const LONGEST_WITH_KEY_MS = 400;
const LONGEST_PAUSE_BETWEEN_FAULTS_MS = 700;

/** In bounds. After a little more than one, a zombie meets attempts that have just begun elsewhere. */
const FREEZES = [0.5, 1, 1.3, 1.5, 1.8, 3];

const KINDS: [Fault['kind'], number][] = [
  ['kill', 40],
  ['freeze', 25],
  ['terminate', 20],
  ['isolate', 8],
  ['twin', 4],
  ['killServer', 3],
];

export function drawPlan(seed: number, scale: Scale): Plan {
  const random = mulberry32(seed);
  const commands = Array.from({ length: scale.commands }, () => drawCommand(random, scale));
  const faults: Fault[] = [];
  const endMs = scale.seconds * 1_000;
  for (let atMs = 0; ;) {
    atMs += 50 + random() * LONGEST_PAUSE_BETWEEN_FAULTS_MS;
    if (atMs > endMs) return { commands: commands.sort((a, b) => a.atMs - b.atMs), faults };
    faults.push(drawFault(random, scale, atMs));
  }
}

function drawCommand(random: () => number, { seconds }: Scale): PlannedCommand {
  const share = random();
  const hasKey = random() < 0.04;
  return {
    atMs: random() * seconds * 1_000,
    kind: share < 1 / 3 ? 'http' : share < 0.43 ? 'deferred' : share < 0.48 ? 'failing' : 'delay',
    ms: Math.round(random() ** 2 * (hasKey ? LONGEST_WITH_KEY_MS : LONGEST_MS)),
    atMostOnce: random() < 0.1,
    keyed: random() < 0.5,
    concurrencyKey: hasKey ? Math.floor(random() * CONCURRENCY_KEYS) : undefined,
    cancelAfterMs: random() < 0.1 ? random() ** 2 * LONGEST_MS : undefined,
  };
}

function drawFault(random: () => number, scale: Scale, atMs: number): Fault {
  const { agents, lostAfterMs, seconds } = scale;
  let left = random() * 100;
  const [kind] = KINDS.find(([, weight]) => (left -= weight) < 0) ?? ['kill' as const];
  const agent = Math.floor(random() * agents);
  const bound = FREEZES[Math.floor(random() * FREEZES.length)] ?? 1;
  const forMs = kind === 'freeze' ? bound * lostAfterMs : random() * 3_000;
  // When faults are over, they are over.
  return { atMs, kind, agent, forMs: Math.min(forMs, seconds * 1_000 - atMs) };
}

/** Numbers from 0 up to 1. Source: Tommy Ettinger's mulberry32, public domain. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
