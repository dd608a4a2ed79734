// Entry point of the command line: keeps the compiled code in a per-user cache, then hands over to the
// command. Start-up time matters here: everything else is imported by the command that needs it.

import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { leave } from '../host/leave.ts';
import { makeDirectory } from '../sim/make-directory.ts';

// Stripping types and compiling some 100 modules costs more than all the rest of the start-up. Without a directory that can
// be written the cache stays off, without a word. NODE_COMPILE_CACHE and NODE_DISABLE_COMPILE_CACHE have their way.
const cacheDirectory = process.env.NODE_COMPILE_CACHE ?? join(cacheHome(), 'hypertick', 'compiled');
if (canMake(cacheDirectory)) enableCompileCache(cacheDirectory);

const { main } = await import('./command-line.ts');
leave(await main(process.argv.slice(2)));

/** XDG Base Directory Specification: a relative path is to be ignored. */
function cacheHome(): string {
  const { XDG_CACHE_HOME: given = '' } = process.env;
  return isAbsolute(given) ? given : join(homedir(), '.cache');
}

/** Node's own attempt would never return below /proc. */
function canMake(directory: string): boolean {
  try {
    makeDirectory(directory);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false;
    throw error;
  }
}
