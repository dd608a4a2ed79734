/**
 * How far V8 inlines. A simulated step calls through many small methods of many objects; with V8's limits, which are made
 * for pages, some of the innermost calls remain. The limits count bytes of bytecode in one compiled function.
 */
import { setFlagsFromString } from 'node:v8';

/** Of all that is inlined into a function; V8's: 920. */
const CUMULATIVE_BYTES = 4000;
/** Of one function that may be inlined; V8's: 460. */
const LARGEST_BYTES = 1500;

/** To be called before the simulation gets hot: what is compiled already stays as it is. */
export function inlineHotPaths(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${CUMULATIVE_BYTES}`);
  setFlagsFromString(`--max-inlined-bytecode-size=${LARGEST_BYTES}`);
}
