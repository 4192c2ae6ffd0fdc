// Package newstore decides what a data_dir that knows of no earlier life has to ask before it counts as a new one. It
// may be the empty directory below a volume that is not mounted (ADRs 0071 and 0082).
//
//	Of: what there is ──► Begin: what can be asked, and what the operator says ──► MayUse, Answered: one less
//
// It is pure: whoever asks keeps the open questions on the disk, one a line.
package newstore
