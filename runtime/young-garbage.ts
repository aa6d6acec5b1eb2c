// For processes that see thousands of requests a second, each of them for some milliseconds.
//
// V8 remembers from which places in the code objects survived their first collections, and allocates what comes
// from there among the old ones at once. Where many requests are under way, that is soon so for a few small
// objects of each; and what is old counts as alive until the next full collection, with all that it refers to.
// A fifth of all that was allocated survived that way, and was copied twice.

import { setFlagsFromString } from 'node:v8';

/** To be called before anything else is done. */
export function expectYoungGarbage(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
