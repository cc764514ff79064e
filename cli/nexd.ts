/** Entry of `nexd`. */

import { runNexd } from './nexd/program.ts';

process.exitCode = await runNexd(process.argv.slice(2));
