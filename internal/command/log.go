package command

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A burst of equal lines is thinned: of each second the first lineBurst are
// written, and then every lineEvery-th.
const (
	lineBurst = 200
	lineEvery = 100
)

// newLogger logs JSON to w, or lines for people when w is a terminal. Only info
// and debug lines are thinned: no warning and no error is left out. level is
// one that config accepts.
func newLogger(w io.Writer, level string) (*zap.Logger, error) {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	settings := zap.NewProductionEncoderConfig()
	settings.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	settings.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(settings)
	if isTerminal(w) {
		settings.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
		settings.EncodeLevel = zapcore.CapitalColorLevelEncoder
		encoder = zapcore.NewConsoleEncoder(settings)
	}
	sink := zapcore.Lock(zapcore.AddSync(w))
	core := func(from, to zapcore.Level) zapcore.Core {
		return zapcore.NewCore(encoder, sink, zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= least && l >= from && l <= to }))
	}
	return zap.New(zapcore.NewTee(
		zapcore.NewSamplerWithOptions(core(zap.DebugLevel, zap.InfoLevel), time.Second, lineBurst, lineEvery),
		core(zap.WarnLevel, zap.FatalLevel),
	)), nil
}
