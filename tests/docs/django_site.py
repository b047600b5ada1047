"""A Django project around the files of docs/django.md, and a program that uses it as its visitors do."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "django.md"
SETTINGS = """
import os
SECRET_KEY = "for a test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
NATS_URL, NAMESPACE = os.environ["NATS_URL"], os.environ["NAMESPACE"]
"""
MODELS = """
from django.db import models
class Placed(models.Model):
    number = models.CharField(max_length=40, primary_key=True)
"""
INITIAL = """
from django.db import migrations, models
class Migration(migrations.Migration):
    operations = [migrations.CreateModel("Placed", [("number", models.CharField(max_length=40, primary_key=True))])]
"""
URLS = """
from django.urls import path
from shop.status import status
from shop.views import place
urlpatterns = [path("orders", place), path("orders/<id>", status)]
"""
MANAGE = "import sys; from django.core.management import execute_from_command_line as run; run(sys.argv)\n"
VISIT = """
import asyncio, json, subprocess, sys, time
import django, httpx
from django.core.management import call_command

django.setup()
call_command("migrate", verbosity=0)

from django.db import connection
from django.test import Client
from sagakit import outbox
from sagakit.errors import NotAllowed
from shop.asgi import application
from shop.models import Placed
from shop.sagas import Order, PlaceOrder

def place(id, cents):
    return Client().post("/orders", {"id": id, "cents": cents}, content_type="application/json")

async def ended(web, path, relay):
    deadline = time.monotonic() + 60
    while (answer := await web.get(path)).status_code != 200:
        assert relay.poll() is None and time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.05)  # the relay is another process
    return answer.json()

async def visit(placed, relay):
    transport = httpx.ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as web,
    ):
        for answer in placed:
            print(answer.status_code, json.dumps(await ended(web, answer.json()["status"], relay)))
        print((await web.get("/orders/9")).status_code)

connection.ensure_connection()
try:
    outbox.add(connection.connection, PlaceOrder, "0", Order("0", 1))
except NotAllowed:
    print("refused outside of a transaction")
placed = [place("7", 900), place("8", 90_000)]
print([one.number for one in Placed.objects.order_by("number")])
connection.close()
relay = subprocess.Popen([sys.executable, "-W", "error", "manage.py", "relay"])
try:
    asyncio.run(visit(placed, relay))
finally:
    relay.kill()
    relay.wait()
"""


def for_a_test(program: str) -> str:
    """Return a program of the page with a namespace for its clients, and with SQLite in place of PostgreSQL."""
    program = program.replace("(settings.NATS_URL)", "(settings.NATS_URL, namespace=settings.NAMESPACE)")
    return program.replace('table_sql("postgresql")', 'table_sql("sqlite")')


def make_site(folder: Path) -> None:
    """Write the project into a folder, with SQLite as the database and a namespace for the clients."""
    befores = re.findall(r"(.*?)^```python\n.*?^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    shown = zip(befores, blocks(PAGE, "python"), strict=True)
    files = {re.findall(r"`([\w/]+\.py)`", before)[-1]: for_a_test(program) for before, program in shown}
    files["shop/asgi.py"] = files.pop("asgi.py")
    files |= {"settings.py": SETTINGS, "manage.py": MANAGE, "visit.py": VISIT}
    files |= {"shop/models.py": MODELS, "shop/urls.py": URLS, "shop/migrations/0001_initial.py": INITIAL}
    files |= {"shop/clients.py": "import sagakit\n\nsagas: sagakit.ClientApi\n"}
    packages = {str(Path(name).parent) for name in files} | {"shop/management"}
    for name, program in files.items() | {(f"{package}/__init__.py", "") for package in packages - {"."}}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(program)
