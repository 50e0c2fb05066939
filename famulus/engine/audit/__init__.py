"""Whether the rows of runs agree with each other, and with what the heart makes of them."""

from famulus.engine.audit.auditor import AuditPorts, audit_all, audit_run
from famulus.engine.audit.deviation import Deviation
from famulus.engine.audit.rules import deviations_of

__all__ = ["AuditPorts", "Deviation", "audit_all", "audit_run", "deviations_of"]
