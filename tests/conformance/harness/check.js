// Checks: how one fails or is not supported, how they run, and the line that each prints.

import assert from 'node:assert/strict';

/** The provider does something that the specification does not permit. */
export class Failure extends Error {}

/** The provider says that it does not have the feature, which the specification permits. */
export class Unsupported extends Error {}

/** This machine lacks a program that the check runs. */
export class Missing extends Unsupported {}

export function demand(condition, message) {
  if (!condition) throw new Failure(message);
}

export function same(actual, expected, what) {
  try {
    assert.deepEqual(actual, expected);
  } catch {
    throw new Failure(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

/** Runs one check. The result is `passed`, `FAILED` or `not supported`, with the reason. */
export async function run(check, provider) {
  const begin = Date.now();
  const result = (outcome, reason = '') => ({ ...check, outcome, reason, milliseconds: Date.now() - begin });
  try {
    const note = await check.run(provider);
    return result('passed', typeof note === 'string' ? note : '');
  } catch (error) {
    if (error instanceof Unsupported) {
      // Otherwise a feature could disappear without a line that says FAILED.
      if (!(error instanceof Missing) && !provider.lacks(check))
        return result('FAILED', `not supported, though the harness expects it: ${error.message}`);
      return result('not supported', error.message);
    }
    return result('FAILED', describe(error));
  }
}

/** An error and its causes, in one line. Libraries hide the reason in `cause`. */
function describe(error) {
  const parts = [];
  for (let at = error; at instanceof Error && parts.length < 4; at = at.cause) {
    const name = at instanceof Failure || at.name === 'Error' ? '' : `${at.name}: `;
    const details = at.error ? ` (${at.error}: ${at.error_description})` : '';
    parts.push(`${name}${at.message}${details}`);
  }
  return (parts.join(' < ') || String(error)).replaceAll(/\s+/g, ' ');
}

/** Runs checks, `width` at once, and calls `report` for each result in the order of the checks. */
export async function runAll(checks, provider, { width = 3, report = () => {} } = {}) {
  const results = checks.map(() => undefined);
  let next = 0;
  let printed = 0;
  const worker = async () => {
    while (next < checks.length) {
      const index = next++;
      results[index] = await run(checks[index], provider);
      while (results[printed]) report(results[printed++]);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

export function line({ plan, name, outcome, reason, milliseconds }) {
  const text = `${plan.padEnd(22)} ${name.padEnd(68)} ${outcome.padEnd(13)} ${String(milliseconds).padStart(6)} ms`;
  return reason ? `${text}  ${reason.slice(0, 300)}` : text;
}
