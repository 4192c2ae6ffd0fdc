// Package knownwal has the words in which a proxy tells which WAL must not be lost. They are positions that somebody in
// the cluster has or had, and the names of those who may yet tell of more.
//
//	cluster ─── what members say, what the rule covered ───► Known, Unheard ───► fanout/walsource: may it be followed?
//
// It is on the ground floor because the two rooms do not import each other. It decides nothing.
package knownwal
