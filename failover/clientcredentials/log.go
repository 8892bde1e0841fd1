package clientcredentials

import "log/slog"

// logger writes one line for each change of state. It names configured values and closed lists only.
type logger struct{ *slog.Logger }

func (l logger) failed(e *Error) {
	l.Warn("token endpoint does not answer", "region", e.Region, "why", string(e.Reason), "status", e.Status)
}

func (l logger) refused(e *Error) {
	l.Error("issuer refuses the client", "region", e.Region, "code", e.Code, "status", e.Status)
}

func (l logger) recovered(region string) { l.Info("token endpoint answers again", "region", region) }

func (l logger) moved(from, to string) {
	l.Info("tokens come from another region", "from", from, "to", to)
}
