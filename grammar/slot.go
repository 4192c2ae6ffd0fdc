package grammar

import "github.com/replproxy/replproxy/grammar/pgerror"

// legacySlotWords are the options of CREATE_REPLICATION_SLOT without parentheses.
var legacySlotWords = []struct {
	word string
	opt  option
}{
	{"EXPORT_SNAPSHOT", option{name: "snapshot", kind: valueString, text: "export"}},
	{"NOEXPORT_SNAPSHOT", option{name: "snapshot", kind: valueString, text: "nothing"}},
	{"USE_SNAPSHOT", option{name: "snapshot", kind: valueString, text: "use"}},
	{"RESERVE_WAL", option{name: "reserve_wal"}},
	{"TWO_PHASE", option{name: "two_phase"}},
}

func (p *parser) createSlot() (Command, func() *pgerror.Error) {
	c := &CreateSlot{Name: p.ident(), Temporary: p.accept("TEMPORARY")}
	switch {
	case p.accept("PHYSICAL"):
	case p.accept("LOGICAL"):
		c.Logical, c.Plugin, c.Snapshot = true, p.ident(), SnapshotExport
	default:
		p.syntaxError()
	}
	var list []option
	if p.v.optionLists() && p.peek() == (token{kind: tokChar, text: "("}) {
		list = p.optionList()
	} else {
		list = p.legacySlotOptions()
	}
	return c, func() *pgerror.Error { return c.setOptions(list, p.v) }
}

func (p *parser) legacySlotOptions() (list []option) {
next:
	for {
		for _, w := range legacySlotWords {
			if p.accept(w.word) {
				list = append(list, w.opt)
				continue next
			}
		}
		return list
	}
}

// setOptions applies the list in order, with PostgreSQL's first error.
func (c *CreateSlot) setOptions(list []option, v Version) *pgerror.Error {
	given := map[string]bool{}
	for _, o := range list {
		logical := true
		switch o.name {
		case "snapshot", "two_phase":
		case "reserve_wal":
			logical = false
		case "failover":
			if !v.failover() {
				return errUnknownOption(o)
			}
		default:
			return errUnknownOption(o)
		}
		if given[o.name] || c.Logical != logical {
			return errConflict()
		}
		given[o.name] = true
		if err := c.set(o); err != nil {
			return err
		}
	}
	return nil
}

func (c *CreateSlot) set(o option) (err *pgerror.Error) {
	switch o.name {
	case "snapshot":
		err = c.setSnapshot(o)
	case "reserve_wal":
		c.ReserveWAL, err = o.boolean()
	case "two_phase":
		c.TwoPhase, err = o.boolean()
	case "failover":
		c.Failover, err = o.boolean()
	}
	return err
}

func (c *CreateSlot) setSnapshot(o option) *pgerror.Error {
	action, err := o.str()
	if err != nil {
		return err
	}
	switch c.Snapshot = Snapshot(action); c.Snapshot {
	case SnapshotExport, SnapshotNothing, SnapshotUse:
		return nil
	}
	return pgerror.New(pgerror.InvalidParameterValue,
		"unrecognized value for CREATE_REPLICATION_SLOT option \"%s\": \"%s\"", o.name, action)
}

func (p *parser) alterSlot() (Command, func() *pgerror.Error) {
	c := &AlterSlot{Name: p.ident()}
	list := p.optionList()
	return c, func() *pgerror.Error { return c.setOptions(list, p.v) }
}

func (c *AlterSlot) setOptions(list []option, v Version) *pgerror.Error {
	for _, o := range list {
		var field *Setting
		switch {
		case o.name == "failover":
			field = &c.Failover
		case o.name == "two_phase" && v.alterTwoPhase():
			field = &c.TwoPhase
		default:
			return errUnknownOption(o)
		}
		if *field != Unset {
			return errConflict()
		}
		on, err := o.boolean()
		if err != nil {
			return err
		}
		*field = Off
		if on {
			*field = On
		}
	}
	return nil
}

func errUnknownOption(o option) *pgerror.Error {
	return pgerror.New(pgerror.InternalError, "unrecognized option: %s", o.name)
}
