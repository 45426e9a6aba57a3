import "./keys.js";
import "./frame.js";
import "./signout.js";
