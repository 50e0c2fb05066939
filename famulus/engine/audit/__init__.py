"""Whether the rows of runs agree with each other, with what keeps runs going, and with what the heart makes of them."""

from famulus.engine.audit.auditor import AuditOptions, AuditPorts, audit_all, audit_run
from famulus.engine.audit.deviation import Deviation
from famulus.engine.audit.repair import Repairer
from famulus.engine.audit.rules import deviations_of

__all__ = ["AuditOptions", "AuditPorts", "Deviation", "Repairer", "audit_all", "audit_run", "deviations_of"]
