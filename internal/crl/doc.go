// Package crl asks certificate revocation lists, as PostgreSQL has OpenSSL ask them.
//
//	a verified chain ──► each certificate of it, the root's own too
//	                          │
//	file, directory ──Read──► its issuer's list in force, which does not name it
//
// Lists are read for each check: they change more often than certificates. What cannot be read is a refusal, and so is
// an authority without a list in force.
package crl
