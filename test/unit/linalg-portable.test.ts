import { createPortableEngine } from '../../shared/linalg/portable.js';
import { declareConformance } from '../support/linalg-conformance.js';

declareConformance('portable', createPortableEngine);
