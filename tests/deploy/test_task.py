"""The task definition: checked against the model of the ECS API, and against the programs that it
starts."""

import json
import runpy
import shutil
import socket

import pytest

from deploy.conftest import REGION
from deploy.templates import read, task_definition
from support.balancer import tls_balancer
from support.certificates import make_certificate
from support.network import free_port
from support.program import ROOT, run

AUTHORITIES = "/etc/ssl/database.pem"


@pytest.fixture(scope="module")
def definition():
    return task_definition()


@pytest.fixture(scope="module")
def containers(definition):
    return {container["name"]: container for container in definition["containerDefinitions"]}


def environment(container):
    return {variable["name"]: variable["value"] for variable in container["environment"]}


def validate(definition):
    """What botocore's validator says, which the AWS command line uses before it sends anything."""
    import boto3  # here, as all workers load this file, and boto3 takes a second
    from botocore.validate import ParamValidator

    client = boto3.client("ecs", REGION)
    shape = client.meta.service_model.operation_model("RegisterTaskDefinition").input_shape
    return ParamValidator().validate(definition, shape)


def test_ecs_accepts_it(definition):
    report = validate(definition)
    assert not report.has_errors(), report.generate_report()
    assert (definition["cpu"], definition["memory"]) == ("256", "512")
    assert definition["runtimePlatform"] == {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"}


def test_validator_refuses_a_wrong_definition(definition):
    """The test above can fail."""
    for wrong in ({"cpus": "256"}, {"cpu": 256}):
        assert validate({**definition, **wrong}).has_errors()


def test_secrets_come_from_secrets_manager_alone(containers):
    secrets = {secret["name"]: secret["valueFrom"] for secret in containers["core"]["secrets"]}
    assert secrets == {
        "PGUSER": "<DatabaseSecretArn>:username::",
        "PGPASSWORD": "<DatabaseSecretArn>:password::",
        "TRIGGERS_OPERATOR_KEY": "<OperatorKeySecretArn>",
    }
    assert environment(containers["core"])["TRIGGERS_AUTH"] == "required"
    assert "secrets" not in containers["bridge"]
    url = environment(containers["core"])["DATABASE_URL"]
    host = "<DatabaseHost>:<DatabasePort>"
    assert url == f"postgresql://{host}/triggers?sslmode=require&sslrootcert={AUTHORITIES}"


def test_containers_are_confined_and_log_to_one_group(containers):
    for name, container in containers.items():
        assert container["essential"] and container["readonlyRootFilesystem"]
        assert container["linuxParameters"]["capabilities"]["drop"] == ["ALL"]
        assert (container["user"], container["stopTimeout"]) == ("10001", 30)
        options = container["logConfiguration"]["options"]
        assert (options["awslogs-group"], options["awslogs-stream-prefix"]) == ("<LogGroup>", name)


def test_bridge_waits_for_the_core_and_calls_it_inside_the_task(containers):
    assert containers["bridge"]["dependsOn"] == [{"containerName": "core", "condition": "HEALTHY"}]
    assert environment(containers["bridge"])["TRIGGERS_CORE"] == "tcp://127.0.0.1:7300"


@pytest.mark.parametrize("name, program", [("core", "triggersd"), ("bridge", "triggers-bridge")])
def test_programs_know_their_settings(containers, tmp_path, name, program):
    known = run(program, "--help", folder=tmp_path).stdout
    for variable in environment(containers[name]):
        assert variable in known, f"{program} --help has no {variable}"


@pytest.mark.parametrize("store_name", ["sqlite"], indirect=True)
def test_health_checks_tell_whether_the_programs_run(containers, core, bridge, tmp_path):
    settings = {"TRIGGERS_CORE": core.url, "API_PORT": bridge.port}
    for name in ("core", "bridge"):
        kind, program, *arguments = containers[name]["healthCheck"]["command"]
        assert kind == "CMD"
        assert run(program, *arguments, folder=tmp_path, **settings).returncode == 0
        nobody = {"TRIGGERS_CORE": "ws://127.0.0.1:1/rpc", "API_PORT": 1}
        assert run(program, *arguments, folder=tmp_path, **nobody).returncode != 0


@pytest.fixture
def core_in_aws(start_core, containers):
    """A core that listens as in the task; for each port of the task the one that it has here."""
    listen = environment(containers["core"])["TRIGGERS_LISTEN"]
    ports = {mapping["containerPort"]: free_port() for mapping in containers["core"]["portMappings"]}
    for port, here in ports.items():
        assert f"://0.0.0.0:{port}" in listen
        listen = listen.replace(f"0.0.0.0:{port}", f"0.0.0.0:{here}")
    return start_core(TRIGGERS_LISTEN=listen), ports


def test_core_bears_the_balancers_checks(core_in_aws):
    """A check connects and closes."""
    core, ports = core_in_aws
    for _ in range(100):
        socket.create_connection(("127.0.0.1", ports[7300]), 10).close()
    with core.client() as rpc:
        assert rpc.serving()


@pytest.mark.parametrize(
    "port, address", [(7300, "tls+tcp://localhost:{}"), (7301, "wss://localhost:{}/rpc")]
)
def test_core_is_called_through_a_balancer_that_ends_tls(core_in_aws, tmp_path, port, address):
    _, ports = core_in_aws
    certificate, key = make_certificate(tmp_path)
    with tls_balancer(ports[port], certificate, key) as here:
        settings = {"TRIGGERS_CORE": address.format(here), "TRIGGERS_TLS_CA": certificate}
        done = run("triggers", "create", "crm", "lead", folder=tmp_path, **settings)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["PendingAgeAlarm", "SubscriptionAgeAlarm", "DeadLetterAlarm"])
def test_alarm_watches_a_figure_that_the_core_logs(start_core, new_store_url, name):
    alarm = read("monitoring")["Resources"][name]["Properties"]
    settings = {"DATABASE_URL": new_store_url()}
    first = start_core(**settings)
    with first.client() as rpc:
        rpc.subscription("PutSubscription", "billing")
    first.stop()  # the next one looks at once, and then every 15 seconds
    core = start_core(**settings, TRIGGERS_METRICS_LOG=1)
    line = json.loads(core.wait_for_line(alarm["MetricName"]))
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == alarm["Namespace"]
    assert alarm["MetricName"] in {metric["Name"] for metric in declared["Metrics"]}
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
    assert declared["Dimensions"] == [list(dimensions)]
    assert {name: line[name] for name in dimensions} == dimensions


def settings_in_aws(containers, postgres, database, password, mode="prefer", authorities=AUTHORITIES):
    """The core's settings as the task definition makes them, for a test's server."""
    url = environment(containers["core"])["DATABASE_URL"]
    for part, here in {
        "<DatabaseHost>:<DatabasePort>/triggers": f"127.0.0.1:{postgres.port}/{database}",
        "sslmode=require": f"sslmode={mode}",
        AUTHORITIES: str(authorities),
    }.items():
        assert part in url
        url = url.replace(part, here)
    return {"DATABASE_URL": url, "PGUSER": "rotated", "PGPASSWORD": password}


def test_password_changes_while_the_core_serves(start_core, postgres, containers):
    """What RDS does to the password every week: sessions stay, new cores need the new one."""
    database = postgres.database_name()
    postgres.psql("create role rotated login createdb password 'first'")
    old = start_core(**settings_in_aws(containers, postgres, database, "first"))
    with old.client() as rpc:
        event_id = rpc.create().event_id
        postgres.psql("alter role rotated password 'second'")
        assert rpc.create().event_id
        assert rpc.event("GetEvent", event_id=event_id).event.event_id == event_id
        new = start_core(**settings_in_aws(containers, postgres, database, "second"))
        with new.client() as other:
            assert other.event("GetEvent", event_id=event_id).event.event_id == event_id
        assert rpc.serving()
    late = start_core(wait=False, **settings_in_aws(containers, postgres, database, "first")).wait_answering()
    with late.client() as rpc:
        assert not rpc.serving()


def test_core_signs_in_with_a_role_of_its_own(start_core, own_postgres, containers):
    """By the SQL of the operator's guide, run as a master user that is no superuser."""
    guide = (ROOT / "deploy" / "README.md").read_text()
    sql = guide.split("```sql\n")[1].split("```")[0].replace("PASSWORD", "second")
    own_postgres.psql("create role triggers login createrole createdb password 'first'")
    own_postgres.psql("create database triggers owner triggers")
    settings = settings_in_aws(containers, own_postgres, "triggers", "first")
    old = start_core(**{**settings, "PGUSER": "triggers"})
    with old.client() as rpc:
        event_id = rpc.create().event_id
        for statement in sql.strip().splitlines():  # as psql runs them: all at once may deadlock with the core
            own_postgres.psql(f"set session authorization triggers; {statement}", "triggers")
        assert rpc.create().event_id
        new = start_core(**{**settings, "PGUSER": "triggers_core", "PGPASSWORD": "second"})
        with new.client() as other:
            assert other.event("AckEvent", event_id=event_id).event_id == event_id
            assert other.create().event_id
        assert rpc.create().event_id
    left = "from pg_tables where schemaname = 'triggers' and tableowner <> 'triggers_core'"
    assert own_postgres.psql(f"select count(*) {left}", "triggers") == "0"


def test_images_have_the_databases_authorities_where_the_task_looks(tmp_path):
    maker, image = tmp_path / "root.py", tmp_path / "image"
    shutil.copy(ROOT / "deploy" / "images" / "root.py", maker)
    (image / "etc" / "ssl").mkdir(parents=True)
    trust_database = runpy.run_path(str(maker))["trust_database"]
    trust_database(image)
    assert not (image / AUTHORITIES[1:]).exists()
    maker.with_name("database.pem").write_text("authorities")
    trust_database(image)
    assert (image / AUTHORITIES[1:]).read_text() == "authorities"


def test_core_checks_the_databases_certificate(start_core, own_postgres, containers, tmp_path):
    certificate, key = make_certificate(tmp_path)
    other, _ = make_certificate(tmp_path, "other")
    own_postgres.use_tls(certificate, key)
    own_postgres.psql("create role rotated login createdb password 'first'")

    def settings(mode, authorities):
        return settings_in_aws(containers, own_postgres, "triggers", "first", mode, authorities)

    start_core(**settings("require", tmp_path / "missing.pem"))
    start_core(**settings("verify-full", certificate))
    refused = start_core(wait=False, **settings("verify-full", other))
    refused.wait_for_line("certificate verify failed")
