package grammar_test

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar"
)

// A walsender of 14 reads options without parentheses, one of 17 prints them with them.
func ExampleParse() {
	c, _, err := grammar.Parse("CREATE_REPLICATION_SLOT s1 TEMPORARY PHYSICAL RESERVE_WAL", 140000)
	fmt.Println(grammar.Render(c, 170000), err)

	// Commands are words in capitals. Anything else is SQL, which physical walsenders refuse.
	is, err := grammar.IsReplicationCommand("identify_system", 170000)
	fmt.Println(is, err)
	// Output:
	// CREATE_REPLICATION_SLOT s1 TEMPORARY PHYSICAL (RESERVE_WAL) <nil>
	// false <nil>
}
