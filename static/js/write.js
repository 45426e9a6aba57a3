import "./turns.js";
import "./preview.js";
import "./counts.js";
import "./handin.js";
import "./saves.js";
import "./rescue.js";
import "./lease.js";
import "./fold.js";
