// Runs the checks against copies that are broken on purpose: each fault has to make its own checks fail, for its own reason, and no
// other check.

import { run, runAll } from '../harness/check.js';

/** Takes this long, so only its own faults run it. */
const SLOW = new Set(['oidcc-codereuse-30seconds']);

/**
 * `own` are the checks that a fault names, and `others` run as well unless the fault is a general one. Returns `noticed`,
 * `NOT NOTICED` or `not supported`.
 */
export async function tryFault(fault, checks, provider) {
  const own = checks.filter(({ name }) => fault.breaks.includes(name));
  if (own.length === 0) return undefined;
  const others = fault.everywhere ? [] : checks.filter(({ name, isModule }) => isModule && !fault.breaks.includes(name) && !SLOW.has(name));
  provider.proxy.fault = fault;
  try {
    const broken = [];
    for (const check of own) broken.push(await run(check, provider));
    const results = await runAll(others, provider);
    return { ...fault, ...judge(fault, broken, results) };
  } finally {
    provider.proxy.fault = undefined;
  }
}

function judge({ because, everywhere }, broken, others) {
  const collateral = others.filter(({ outcome }) => outcome === 'FAILED');
  const missed = broken.filter(({ outcome, reason }) => outcome !== 'FAILED' || !because.test(reason));
  if (broken.every(({ outcome }) => outcome === 'not supported')) return { outcome: 'not supported', note: broken[0].reason };
  if (missed.length > 0) return { outcome: 'NOT NOTICED', note: missed.map(({ name, outcome, reason }) => `${name}: ${outcome} ${reason}`).join('; ') };
  if (collateral.length > 0) return { outcome: 'NOT EXACT', note: collateral.map(({ name, reason }) => `${name}: ${reason}`).join('; ') };
  const note = everywhere ? `${broken[0].reason} (general: every login fails)` : broken[0].reason;
  return { outcome: 'noticed', note };
}

export function faultLine({ breaks, fault, outcome, note }) {
  return `${fault.padEnd(62)} ${breaks.join(', ').padEnd(70)} ${outcome.padEnd(13)}  ${note.slice(0, 240)}`;
}
