import "./handin.js";
import "./saves.js";
import "./rescue.js";
import "./lease.js";
import "./panel.js";
import "./fold.js";
