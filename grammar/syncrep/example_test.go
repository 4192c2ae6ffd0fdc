package syncrep_test

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/syncrep"
)

// A rule as in synchronous_standby_names. Letters of names compare without their case.
func ExampleParse() {
	rule, err := syncrep.Parse(`2 (s1, "proxy-a", s2)`)
	fmt.Println(rule, err)
	fmt.Println(rule.Priority("S2"))
	_, err = syncrep.Parse("ANY 2 (s1, proxy-a)")
	fmt.Println(err)
	// Output:
	// FIRST 2 (s1, "proxy-a", s2) <nil>
	// 3
	// invalid value for parameter "synchronous_standby_names": "ANY 2 (s1, proxy-a)" (SQLSTATE 42601)
}
