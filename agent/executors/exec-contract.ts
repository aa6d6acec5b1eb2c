// What an EXEC command says, and what it comes to.

import { z } from 'zod';

/** Twice this, were every byte to become an escape of six, is still a result that can be stored. */
const MAX_OUTPUT_BYTES = 65_536;
const MAX_STDIN_CHARACTERS = 1_048_576;
/** What Linux takes, 131,072 bytes with the NUL at the end, if it is ASCII. */
const MAX_ARGUMENT_CHARACTERS = 131_071;
const MAX_VARIABLES = 100;

/** What a program gets of the agent's environment. */
export const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ'];

/** Variables that make one program run the code of another, such as LD_PRELOAD. */
const DIVERTING = [
  'PATH',
  'LD_\\w*',
  'DYLD_\\w*',
  'GCONV_PATH',
  'GLIBC_TUNABLES',
  'ENV',
  'BASH_ENV',
  'BASHOPTS',
  'SHELLOPTS',
  'PS4',
  'IFS',
  'NODE_OPTIONS',
  'NODE_PATH',
  'PERL5\\w*',
  'PYTHON\\w*',
  'RUBY\\w*',
  'JAVA_TOOL_OPTIONS',
];
const VARIABLE = new RegExp(`^(?!(?:${DIVERTING.join('|')})$)[A-Za-z_]\\w{0,127}$`);
const WITHOUT_NUL = /^[^\0]*$/;

const text = z.string().max(MAX_ARGUMENT_CHARACTERS).regex(WITHOUT_NUL, 'must not hold NUL');

export const payload = z.strictObject({
  argv: z
    .array(text)
    .min(1)
    .max(1_000)
    .describe('the program, as the list names it; its arguments'),
  stdin: z.string().max(MAX_STDIN_CHARACTERS).optional().describe('what it reads'),
  env: z
    .record(z.string().regex(VARIABLE, 'no variable that a command may set'), text)
    .refine((env) => Object.keys(env).length <= MAX_VARIABLES, `at most ${MAX_VARIABLES}`)
    .meta({ maxProperties: MAX_VARIABLES, description: `beside ${INHERITED.join(', ')}` })
    .optional(),
  cwd: text
    .max(4_096)
    .regex(/^\//, 'expected an absolute path')
    .optional()
    .describe("where it runs; the agent's directory unless given"),
  maxOutputBytes: z
    .int()
    .min(0)
    .max(MAX_OUTPUT_BYTES)
    .default(MAX_OUTPUT_BYTES)
    .describe('how much of the end of stdout, and of stderr, to keep'),
  okExitCodes: z
    .array(z.int().min(0).max(255))
    .min(1)
    .max(256)
    .default([0])
    .describe('which exit codes complete the command; 128 + n is death by signal n'),
});

export const result = z.strictObject({
  exitCode: z.int().min(0).max(255).describe('128 + n when signal n ended it'),
  signal: z.string().nullable().describe('the signal that ended it'),
  stdout: z.string().describe('the end of what it wrote'),
  stderr: z.string().describe('the same of its errors'),
  truncated: z.boolean().describe('whether one of the two is not all of it'),
});
