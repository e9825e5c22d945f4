"""The supervisor's configuration: infra/supervisord.conf, and a program for each part."""

from pathlib import Path
from string import Template

from infra.stack.config import ROOT, SERVICES, Stack

# autorestart: whatever ends, killed or not, comes back. startretries: practically for ever; the
# pause grows by a second with each failed try. startsecs: how long it has to live to count as
# started. stopwaitsecs: how long it may take to finish its work before it is killed. priority: the
# broker starts first, then what stands outside, then the services; they stop the other way round.
_PROGRAM = Template("""
[program:$part]
command="%(ENV_STACK_PYTHON)s" -m infra.stack.launch $part
priority=$priority
autorestart=true
startretries=10000
startsecs=1
stopsignal=TERM
stopwaitsecs=20
killasgroup=true
redirect_stderr=true
stdout_logfile=%(ENV_STATE_DIR)s/logs/$part.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
""")


def configuration(stack: Stack) -> Path:
    """Write it into the stack's folder, for the parts that this stack runs."""
    head = (ROOT / "infra" / "supervisord.conf").read_text()
    programs = [_PROGRAM.substitute(part=part, priority=_priority(part)) for part in stack.parts]
    file = stack.state_dir / "supervisord.conf"
    file.write_text(head + "".join(programs))
    return file


def _priority(part: str) -> int:
    if part == "nats":
        return 10
    return 30 if part in SERVICES else 20
