// Which URLs a payload may name.
//
// The rules are ones that JSON Schema can express, so that the server refuses what we would. No `@`
// before the path: fetch refuses credentials in a URL, and they would be in the ledger for good.

import { z } from 'zod';

const MAX_CHARACTERS = 8_192;
const ADDRESS = /^[Hh][Tt][Tt][Pp][Ss]?:\/\/[^\s/?#@\\]+([/?#\\].*)?$/;
const EXPECTED = 'expected an http or https URL without credentials';

export const httpUrl = z
  .string()
  .max(MAX_CHARACTERS, { abort: true })
  .regex(ADDRESS, { error: EXPECTED, abort: true })
  .refine((url) => URL.canParse(url), EXPECTED)
  .meta({ format: 'uri' });
