package lsn_test

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// The file in which a position lies.
func ExampleSegSize() {
	at, err := lsn.Parse("2/A0012345")
	fmt.Println(at, err)
	seg := lsn.SegSize(16 << 20)
	fmt.Println(seg.FileName(3, seg.Segno(at)), seg.Floor(at))
	// Output:
	// 2/A0012345 <nil>
	// 0000000300000002000000A0 2/A0000000
}
