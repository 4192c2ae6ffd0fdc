package datum

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// maxExponent bounds the exponent of a literal: nobody needs more, and PostgreSQL would fill the answer with zeros.
const maxExponent = 100

// minSignificant is NUMERIC_MIN_SIG_DIGITS: a quotient has at least as many digits that mean something.
const minSignificant = 16

// The bounds of PostgreSQL's format: digits before and behind the point, and of a quotient those behind it.
const (
	maxWhole    = 131072
	maxScale    = 16383
	maxQuotient = 1000
)

// decimals is the number of decimal digits in one of PostgreSQL's digits, which are of base 10000.
const decimals = 4

// Whole returns an integer as a numeric.
func Whole(n int64) Number { return Number{big.NewInt(n), 0} }

// Scaled returns n / 10^scale.
func Scaled(n int64, scale int) Number { return Number{big.NewInt(n), scale} }

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func parseNumber(text, trimmed string) (Value, error) {
	if strings.Trim(trimmed, "0123456789+-.eE") != "" || trimmed == "" {
		if strings.ContainsAny(trimmed, "nN") || later(trimmed) {
			return nil, errForm(Numeric, text) // NaN, infinity, and what is taken since 16
		}
		return nil, errText(Numeric, text)
	}
	mantissa, exponent := trimmed, 0
	if i := strings.IndexAny(trimmed, "eE"); i >= 0 {
		n, err := strconv.Atoi(trimmed[i+1:])
		if err != nil {
			return nil, errText(Numeric, text)
		}
		if n > maxExponent || n < -maxExponent {
			return nil, errForm(Numeric, text)
		}
		mantissa, exponent = trimmed[:i], n
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	unsigned := strings.TrimLeft(whole, "+-") + part
	if unsigned == "" || !plainDigits(whole+part) || strings.HasPrefix(whole, "-+") {
		return nil, errText(Numeric, text)
	}
	if len(unsigned) > 10*maxExponent {
		return nil, errForm(Numeric, text)
	}
	n, _ := new(big.Int).SetString(whole+part, 10)
	scale := len(part) - exponent
	if scale < 0 {
		n.Mul(n, power(-scale))
		scale = 0
	}
	return Number{n, scale}, nil
}

// String returns the number with all digits of its scale.
func (n Number) String() string {
	text := new(big.Int).Abs(n.Digits).String()
	if n.Scale > 0 {
		if len(text) <= n.Scale {
			text = strings.Repeat("0", n.Scale-len(text)+1) + text
		}
		text = text[:len(text)-n.Scale] + "." + text[len(text)-n.Scale:]
	}
	if n.Digits.Sign() < 0 {
		text = "-" + text
	}
	return text
}

// Float returns the nearest float8.
func (n Number) Float() float64 {
	f, _ := strconv.ParseFloat(n.String(), 64)
	return f
}

// Round returns the number with another scale, halves away from zero.
func (n Number) Round(scale int) Number {
	if scale >= n.Scale {
		return Number{new(big.Int).Mul(n.Digits, power(scale-n.Scale)), scale}
	}
	unit := power(n.Scale - scale)
	half := new(big.Int).Quo(unit, big.NewInt(2))
	if n.Digits.Sign() < 0 {
		half.Neg(half)
	}
	return Number{half.Quo(half.Add(half, n.Digits), unit), scale}
}

// Calculate returns the result of + - * / or % on two numbers, with PostgreSQL's scale.
func (n Number) Calculate(op string, m Number) (Number, error) {
	scale := max(n.Scale, m.Scale)
	a, b := n.Round(scale), m.Round(scale)
	switch op {
	case "+":
		return Number{a.Digits.Add(a.Digits, b.Digits), scale}.fit()
	case "-":
		return Number{a.Digits.Sub(a.Digits, b.Digits), scale}.fit()
	case "*":
		return Number{new(big.Int).Mul(n.Digits, m.Digits), n.Scale + m.Scale}.fit()
	}
	if m.Digits.Sign() == 0 {
		return Number{}, pgerror.New(pgerror.DivisionByZero, "division by zero")
	}
	if op == "%" {
		return Number{a.Digits.Rem(a.Digits, b.Digits), scale}, nil
	}
	w1, d1 := n.leading()
	w2, d2 := m.leading()
	weight := w1 - w2
	if d1 <= d2 {
		weight--
	}
	scale = min(max(minSignificant-weight*decimals, n.Scale, m.Scale, 0), maxQuotient)
	// One digit more than asked for is enough to round: the rest only matters when it is 5 and then nothing, which Quo
	// tells by truncating towards zero.
	digits := new(big.Int).Mul(n.Digits, power(scale+1+m.Scale))
	return Number{digits.Quo(digits, new(big.Int).Mul(m.Digits, power(n.Scale))), scale + 1}.Round(scale).fit()
}

// fit returns the number as PostgreSQL can keep it: digits too far behind the point are rounded away.
func (n Number) fit() (Number, error) {
	if n.Scale > maxScale {
		n = n.Round(maxScale)
	}
	// A decimal digit takes more than three bits.
	if n.Digits.BitLen() > 3*maxWhole && new(big.Int).Abs(n.Digits).Cmp(power(maxWhole+n.Scale)) >= 0 {
		return Number{}, pgerror.New(pgerror.NumericOutOfRange, "value overflows numeric format")
	}
	return n, nil
}

// leading returns weight and value of the first digit of base 10000 that is not 0; 0 and 0 for the number 0.
func (n Number) leading() (weight, first int) {
	if n.Digits.Sign() == 0 {
		return 0, 0
	}
	digits, weight := n.base()
	return weight, int(digits[0])
}

// base returns the digits of base 10000 without zeros at both ends, and the weight of the first.
func (n Number) base() (digits []int16, weight int) {
	padded := (n.Scale + decimals - 1) / decimals * decimals
	text := new(big.Int).Abs(n.Round(padded).Digits).String()
	text = strings.Repeat("0", (decimals-len(text)%decimals)%decimals) + text
	weight = len(text)/decimals - padded/decimals - 1
	for ; text != ""; text = text[decimals:] {
		d, _ := strconv.Atoi(text[:decimals])
		digits = append(digits, int16(d))
	}
	for len(digits) > 0 && digits[0] == 0 {
		digits, weight = digits[1:], weight-1
	}
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) == 0 {
		weight = 0
	}
	return digits, weight
}
