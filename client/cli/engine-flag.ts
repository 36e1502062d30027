import { Option } from 'commander';
import { ENGINE_SETTINGS } from '../../shared/linalg/linear-algebra.js';

/** `--engine`, for commands that factorise matrices; it ends up in `settings.engine`. */
export function engineOption(): Option {
  return new Option('--engine <engine>', 'linear algebra engine (default: config file, TRIBUTARY_ENGINE, auto)').choices(ENGINE_SETTINGS);
}
