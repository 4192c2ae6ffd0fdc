package walsource

import "testing"

// TestLeaving: what the operator wants done about an old primary is done, and only about one.
func TestLeaving(t *testing.T) {
	for l, want := range map[Leaving]struct{ refuses, ends bool }{
		LeaveWarn: {}, LeaveRefuseNew: {refuses: true}, LeaveEnd: {true, true},
	} {
		if l.Refuses(false) || l.Ends(false) {
			t.Errorf("%s: something is done about the newest primary", l)
		}
		if l.Refuses(true) != want.refuses || l.Ends(true) != want.ends {
			t.Errorf("%s: refuses %t, ends %t", l, l.Refuses(true), l.Ends(true))
		}
	}
}

// TestRelayable: sessions are refused as long as another server shows that the followed one is an old primary.
func TestRelayable(t *testing.T) {
	what := LeaveRefuseNew
	r := with(t, Options{Store: newMemStore(), Leaving: func() Leaving { return what }})
	if err := r.Relayable(); err != nil {
		t.Error(err)
	}
	r.higher.Store(&Higher{Host: "db2", Timeline: 2})
	if err := r.Relayable(); err != errOldPrimary {
		t.Error(err)
	}
	if what = LeaveWarn; r.Relayable() != nil {
		t.Error("the operator only wants to be warned")
	}
}
