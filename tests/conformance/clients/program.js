// A client in another language: a program that asks this one to open addresses in the browser.
//
// It gets its configuration as JSON in its only argument, writes {"open": URL} for each address to open, reads the answer at the
// redirect URI as a line, and ends with code 0 if all went well.

import { spawn } from 'node:child_process';
import readline from 'node:readline';

import { Failure } from '../harness/check.js';

const DEADLINE = 60_000;

export async function runProgram(command, args, configuration, open) {
  const child = spawn(command, [...args, JSON.stringify(configuration)], { stdio: ['pipe', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE);
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += chunk));
  try {
    for await (const line of readline.createInterface({ input: child.stdout })) {
      const message = JSON.parse(line);
      if (message.open) child.stdin.write(`${await open(message.open)}\n`);
    }
    const code = await ended;
    if (code !== 0) throw new Failure(`${command} ended with code ${code}: ${lastLines(errors)}`);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
  }
}

const lastLines = (text) => text.trim().split('\n').slice(-3).join(' | ');
