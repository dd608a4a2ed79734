// Entry point of the command line: keeps the compiled code in a per-user cache, then hands over to the
// command. Start-up time matters here: everything else is imported by the command that needs it.

import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Stripping types and compiling some 100 modules costs more than all the rest of the start-up. Without a writable
// home directory the cache stays off, without a word. NODE_COMPILE_CACHE and NODE_DISABLE_COMPILE_CACHE have their way.
const cacheHome = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
enableCompileCache(process.env.NODE_COMPILE_CACHE ?? join(cacheHome, 'hypertick', 'compiled'));

const { main } = await import('./command-line.ts');
process.exit(await main(process.argv.slice(2)));
