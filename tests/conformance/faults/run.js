// Runs the checks against copies that are broken on purpose: each fault has to make its own checks fail, for its own reason, and no
// other check.

import { runAll } from '../harness/check.js';

/** Takes this long, so only its own faults run it. */
const SLOW = new Set(['oidcc-codereuse-30seconds']);

/** Tries every fault that belongs to one of the checks. The checks first run without a fault: only those that pass can be broken. */
export async function tryFaults(faults, checks, provider, report) {
  const sound = (
    await runAll(
      checks.filter(({ name }) => !SLOW.has(name)),
      provider,
    )
  ).filter(({ outcome }) => outcome === 'passed');
  const passes = new Set(sound.map(({ name }) => name));
  const outcomes = [];
  for (const fault of faults.filter((it) => !it.provider || it.provider === provider.name)) {
    const own = checks.filter(({ name }) => fault.breaks.includes(name));
    if (own.length === 0) continue;
    const others = checks.filter(({ name, isModule }) => isModule && passes.has(name) && !fault.breaks.includes(name));
    const outcome = { ...fault, ...(await tryFault(fault, own, fault.everywhere ? [] : others, provider)) };
    outcomes.push(outcome);
    report(outcome);
  }
  for (const { name } of checks.filter((check) => !faults.some(({ breaks }) => breaks.includes(check.name)))) {
    const outcome = { fault: 'no fault', breaks: [name], outcome: 'NOT COVERED', note: 'nothing shows that this check can fail' };
    outcomes.push(outcome);
    report(outcome);
  }
  return outcomes;
}

/** `own` are the checks that the fault has to break, and `others` those that it must not. */
async function tryFault(fault, own, others, provider) {
  provider.proxy.fault = fault;
  try {
    const broken = await runAll(own, provider);
    // Most of them wait, so many can run at once.
    return judge(fault, broken, await runAll(others, provider, { width: 8 }));
  } finally {
    provider.proxy.fault = undefined;
  }
}

function judge({ because, everywhere }, broken, others) {
  const collateral = others.filter(({ outcome }) => outcome === 'FAILED');
  const supported = broken.filter(({ outcome }) => outcome !== 'not supported');
  if (supported.length === 0) return { outcome: 'not supported', note: broken[0].reason };
  const missed = supported.filter(({ outcome, reason }) => outcome !== 'FAILED' || !because.test(reason));
  if (missed.length > 0)
    return {
      outcome: 'NOT NOTICED',
      note: missed.map(({ name, outcome, reason }) => `${name}: ${outcome} ${reason}`).join('; '),
    };
  if (collateral.length > 0)
    return { outcome: 'NOT EXACT', note: collateral.map(({ name, reason }) => `${name}: ${reason}`).join('; ') };
  const note = everywhere ? `${supported[0].reason} (general: every login fails)` : supported[0].reason;
  return { outcome: 'noticed', note };
}

export function faultLine({ breaks, fault, outcome, note }) {
  return `${fault.padEnd(62)} ${breaks.join(', ').padEnd(70)} ${outcome.padEnd(13)}  ${note.slice(0, 240)}`;
}
