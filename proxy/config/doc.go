// Package config turns a YAML file and flags into one checked Config, or into errors that show the
// place and say what to write instead.
//
//	defaults ──► file (strict YAML) ──► flags ──► validation ──► *Config
//	   │             │ position            │
//	   └── keys.go: one table of keys: path, flag, how to read, how to print
//
// Keys are PostgreSQL's words in snake_case, sizes and times take PostgreSQL's units. This is the
// only package that knows YAML; others have their own Options, and cmd translates.
//
// Invariants:
//
//  1. A key that is not in the table is an error, and so is one that is set twice.
//  2. A key or a value of a feature that does not exist is refused, never ignored (R26).
//  3. Every error about a value names its key, and its line or its flag.
//  4. A reload applies all live keys that differ or, with one error, none; the others keep their value.
//  5. No error text shows a password out of a conninfo.
package config
