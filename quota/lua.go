package quota

import _ "embed"

// Lua holds the functions that check, charge and refund inside a script. A
// script that uses them is composed as Lua + its own text.
//
//go:embed quota.lua
var Lua string
