// Command licences holds the list of other people's code that the repository builds with.
//
//	go list -deps -test ./... ──► modules ──► licence file of each ──► name ──► allowed?
//	                                                                     └────► equal to deps.txt?
//
// It prints what is wrong and exits 1: a module without a licence file, one whose licence is not
// recognised or not allowed, or a deps.txt that differs. With -write it writes deps.txt instead of
// comparing it.
//
// A licence is recognised by sentences that only it has, never by its file's name; what is not
// recognised is refused.
package main
