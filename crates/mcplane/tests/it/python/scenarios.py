"""What programs do with the official Python client: create, watch, patch, finalize, collect."""

import json
import sys
import threading
import time
import unittest
import uuid

from kubernetes import client, dynamic, utils, watch
from kubernetes.client.rest import ApiException

URL = sys.argv[1]


def api_client():
    configuration = client.Configuration()
    configuration.host = URL
    return client.ApiClient(configuration)


def config_map(name, data=None, **metadata):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, **metadata), data=data)


def eventually(check, seconds=20):
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError("not in time")
        time.sleep(0.05)


class Scenario(unittest.TestCase):
    def setUp(self):
        self.api = api_client()
        self.core = client.CoreV1Api(self.api)
        self.rbac = client.RbacAuthorizationV1Api(self.api)
        self.custom = client.CustomObjectsApi(self.api)
        self.ns = f"py-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=self.ns)))

    def refused(self, status, reason, call, *args, **kwargs):
        with self.assertRaises(ApiException) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.status, status, caught.exception.body)
        body = caught.exception.body
        self.assertEqual(json.loads(body)["reason"], reason, body)

    def names(self, **selectors):
        return [item.metadata.name for item in self.core.list_namespaced_config_map(self.ns, **selectors).items]

    def test_create_read_replace_delete(self):
        made = self.core.create_namespaced_config_map(self.ns, config_map("c", {"a": "1"}))
        self.assertTrue(made.metadata.uid and made.metadata.resource_version)
        self.assertLess(abs(made.metadata.creation_timestamp.timestamp() - time.time()), 60)
        read = self.core.read_namespaced_config_map("c", self.ns)
        self.assertEqual(read.to_dict(), made.to_dict())
        read.data = {"b": "2"}
        replaced = self.core.replace_namespaced_config_map("c", self.ns, read)
        self.assertEqual(replaced.data, {"b": "2"})
        self.assertGreater(int(replaced.metadata.resource_version), int(made.metadata.resource_version))
        self.refused(409, "AlreadyExists", self.core.create_namespaced_config_map, self.ns, config_map("c"))
        # Untyped since release 37 of the client, because some kinds answer with the object.
        self.assertEqual(self.core.delete_namespaced_config_map("c", self.ns)["status"], "Success")
        self.refused(404, "NotFound", self.core.read_namespaced_config_map, "c", self.ns)

    def test_conflict_on_a_stale_revision(self):
        first = self.core.create_namespaced_config_map(self.ns, config_map("c", {"n": "0"}))
        self.core.patch_namespaced_config_map("c", self.ns, {"data": {"n": "1"}})
        first.data = {"n": "2"}
        self.refused(409, "Conflict", self.core.replace_namespaced_config_map, "c", self.ns, first)
        stale = {"metadata": {"resourceVersion": first.metadata.resource_version}, "data": {"n": "3"}}
        self.refused(409, "Conflict", self.core.patch_namespaced_config_map, "c", self.ns, stale)
        self.assertEqual(self.core.read_namespaced_config_map("c", self.ns).data, {"n": "1"})

    def test_counter_under_contention(self):
        """Optimistic concurrency: no increment of four threads is lost."""
        self.core.create_namespaced_config_map(self.ns, config_map("counter", {"n": "0"}))
        conflicts = []

        def increment():
            core = client.CoreV1Api(api_client())
            for _ in range(10):
                while True:
                    current = core.read_namespaced_config_map("counter", self.ns)
                    current.data["n"] = str(int(current.data["n"]) + 1)
                    try:
                        core.replace_namespaced_config_map("counter", self.ns, current)
                        break
                    except ApiException as error:
                        if error.status != 409:
                            raise
                        conflicts.append(error)

        threads = [threading.Thread(target=increment) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.core.read_namespaced_config_map("counter", self.ns).data["n"], "40", len(conflicts))

    def test_three_kinds_of_patch(self):
        body = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "sa", "labels": {"a": "1"}},
            "secrets": [{"name": "one"}, {"name": "two"}],
        }
        self.core.create_namespaced_service_account(self.ns, body)
        patch = self.core.patch_namespaced_service_account
        strategic = {"metadata": {"labels": {"b": "2"}}, "secrets": [{"name": "three"}]}
        merged = patch("sa", self.ns, strategic, _content_type="application/strategic-merge-patch+json")
        self.assertEqual(sorted(secret.name for secret in merged.secrets), ["one", "three", "two"])
        self.assertEqual(merged.metadata.labels, {"a": "1", "b": "2"})
        merge = {"metadata": {"labels": {"a": None}}, "secrets": [{"name": "only"}]}
        merged = patch("sa", self.ns, merge, _content_type="application/merge-patch+json")
        self.assertEqual([secret.name for secret in merged.secrets], ["only"])
        self.assertEqual(merged.metadata.labels, {"b": "2"})
        steps = [{"op": "replace", "path": "/metadata/labels/b", "value": "3"}]
        self.assertEqual(patch("sa", self.ns, steps).metadata.labels, {"b": "3"})
        steps = [{"op": "replace", "path": "/metadata/labels/none/deeper", "value": "3"}]
        self.refused(422, "Invalid", patch, "sa", self.ns, steps)

    def test_watch_from_a_revision(self):
        start = self.core.list_namespaced_config_map(self.ns).metadata.resource_version
        self.core.create_namespaced_config_map(self.ns, config_map("a", {"n": "1"}))
        self.core.patch_namespaced_config_map("a", self.ns, {"data": {"n": "2"}})
        self.core.delete_namespaced_config_map("a", self.ns)
        self.core.create_namespaced_config_map(self.ns, config_map("b"))
        seen, last = [], 0
        for event in watch.Watch().stream(
            self.core.list_namespaced_config_map, self.ns, resource_version=start, timeout_seconds=20
        ):
            revision = int(event["object"].metadata.resource_version)
            self.assertGreater(revision, last)
            last = revision
            seen.append((event["type"], event["object"].metadata.name, (event["object"].data or {}).get("n")))
            if event["object"].metadata.name == "b":
                break
        expected = [("ADDED", "a", "1"), ("MODIFIED", "a", "2"), ("DELETED", "a", "2"), ("ADDED", "b", None)]
        self.assertEqual(seen, expected)

    def test_watch_shows_what_enters_and_leaves_a_selection(self):
        start = self.core.list_namespaced_config_map(self.ns).metadata.resource_version
        self.core.create_namespaced_config_map(self.ns, config_map("out", labels={"in": "no"}))
        self.core.create_namespaced_config_map(self.ns, config_map("c", labels={"in": "no"}))
        self.core.patch_namespaced_config_map("c", self.ns, {"metadata": {"labels": {"in": "yes"}}})
        self.core.patch_namespaced_config_map("c", self.ns, {"data": {"a": "1"}})
        self.core.patch_namespaced_config_map("c", self.ns, {"metadata": {"labels": {"in": "no"}}})
        seen = []
        for event in watch.Watch().stream(
            self.core.list_namespaced_config_map,
            self.ns,
            label_selector="in=yes",
            resource_version=start,
            timeout_seconds=20,
        ):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                break
        self.assertEqual(seen, [("ADDED", "c"), ("MODIFIED", "c"), ("DELETED", "c")])

    def test_watch_ends_in_time_and_with_bookmarks(self):
        self.core.create_namespaced_config_map(self.ns, config_map("a"))
        began = time.monotonic()
        events = list(watch.Watch().stream(self.core.list_namespaced_config_map, self.ns, timeout_seconds=1))
        self.assertEqual([(event["type"], event["object"].metadata.name) for event in events], [("ADDED", "a")])
        self.assertLess(time.monotonic() - began, 10)

    def test_compacted_revision_is_gone(self):
        with self.assertRaises(ApiException) as caught:
            # Far in the future: a revision that the server has never given.
            self.core.list_namespaced_config_map(
                self.ns, resource_version="999999999999", resource_version_match="Exact", timeout_seconds=5
            )
        self.assertIn(caught.exception.status, (400, 410, 504))

    def test_pages_show_one_revision(self):
        for n in range(25):
            self.core.create_namespaced_config_map(self.ns, config_map(f"c-{n:02}"))
        page = self.core.list_namespaced_config_map(self.ns, limit=10)
        revision, names = page.metadata.resource_version, [item.metadata.name for item in page.items]
        self.assertEqual(page.metadata.remaining_item_count, 15)
        # What changes meanwhile is not in the pages that follow.
        self.core.delete_namespaced_config_map("c-20", self.ns)
        self.core.create_namespaced_config_map(self.ns, config_map("c-99"))
        while page.metadata._continue:
            page = self.core.list_namespaced_config_map(self.ns, limit=10, _continue=page.metadata._continue)
            self.assertEqual(page.metadata.resource_version, revision)
            names += [item.metadata.name for item in page.items]
        self.assertEqual(names, [f"c-{n:02}" for n in range(25)])
        self.refused(400, "BadRequest", self.core.list_namespaced_config_map, self.ns, limit=1, _continue="nonsense")

    def test_selectors(self):
        for name, labels in [("a", {"t": "x", "e": "p"}), ("b", {"t": "x"}), ("c", {"t": "y"})]:
            self.core.create_namespaced_config_map(self.ns, config_map(name, labels=labels))
        self.assertEqual(self.names(label_selector="t=x"), ["a", "b"])
        self.assertEqual(self.names(label_selector="t in (x,y),!e"), ["b", "c"])
        self.assertEqual(self.names(field_selector="metadata.name=c"), ["c"])
        self.assertEqual(self.names(label_selector="t=x", field_selector="metadata.name!=a"), ["b"])
        self.refused(400, "BadRequest", self.core.list_namespaced_config_map, self.ns, field_selector="data.a=b")
        self.core.create_namespaced_secret(self.ns, {"metadata": {"name": "s"}, "type": "example.com/key"})
        secrets = self.core.list_namespaced_secret(self.ns, field_selector="type=example.com/key").items
        self.assertEqual([secret.metadata.name for secret in secrets], ["s"])
        self.core.delete_collection_namespaced_config_map(self.ns, label_selector="t=x")
        self.assertEqual(self.names(), ["c"])

    def test_finalizer_controller(self):
        """The usual loop of an operator: add a finalizer, see the deletion, clean up, let go."""
        self.core.create_namespaced_config_map(self.ns, config_map("c", finalizers=["example.com/cleanup"]))
        start = self.core.list_namespaced_config_map(self.ns).metadata.resource_version
        marked = self.core.delete_namespaced_config_map("c", self.ns)
        self.assertEqual(marked["metadata"]["finalizers"], ["example.com/cleanup"])
        for event in watch.Watch().stream(
            self.core.list_namespaced_config_map, self.ns, resource_version=start, timeout_seconds=20
        ):
            if event["type"] == "MODIFIED" and event["object"].metadata.deletion_timestamp:
                event["object"].metadata.finalizers = None
                self.core.replace_namespaced_config_map("c", self.ns, event["object"])
            if event["type"] == "DELETED":
                break
        self.assertEqual(self.names(), [])

    def test_owner_references_collect(self):
        owner = self.core.create_namespaced_config_map(self.ns, config_map("owner"))
        reference = client.V1OwnerReference(
            api_version="v1", kind="ConfigMap", name="owner", uid=owner.metadata.uid, block_owner_deletion=True
        )
        child = self.core.create_namespaced_config_map(self.ns, config_map("child", owner_references=[reference]))
        reference = client.V1OwnerReference(api_version="v1", kind="ConfigMap", name="child", uid=child.metadata.uid)
        self.core.create_namespaced_secret(
            self.ns, client.V1Secret(metadata=client.V1ObjectMeta(name="grandchild", owner_references=[reference]))
        )
        self.core.delete_namespaced_config_map("owner", self.ns, propagation_policy="Background")
        eventually(lambda: not self.names() and not self.core.list_namespaced_secret(self.ns).items)

    def test_delete_options(self):
        made = self.core.create_namespaced_config_map(self.ns, config_map("c"))
        wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=str(uuid.uuid4())))
        self.refused(409, "Conflict", self.core.delete_namespaced_config_map, "c", self.ns, body=wrong)
        stale = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version="1"))
        self.refused(409, "Conflict", self.core.delete_namespaced_config_map, "c", self.ns, body=stale)
        self.core.delete_namespaced_config_map("c", self.ns, dry_run="All")
        self.assertEqual(self.names(), ["c"])
        right = client.V1Preconditions(uid=made.metadata.uid, resource_version=made.metadata.resource_version)
        self.core.delete_namespaced_config_map("c", self.ns, body=client.V1DeleteOptions(preconditions=right))
        self.assertEqual(self.names(), [])

    def test_validation(self):
        self.refused(422, "Invalid", self.core.create_namespaced_config_map, self.ns, config_map("Not_A_Name"))
        # The typed client checks on its own, so these go around it.
        maps = dynamic.DynamicClient(self.api).resources.get(api_version="v1", kind="ConfigMap")
        create = lambda body, **query: maps.create(body=body, namespace=self.ns, query_params=list(query.items()))
        kind = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
        self.refused(422, "Invalid", create, {**kind, "data": {"a": 1}})
        self.refused(400, "BadRequest", create, {**kind, "dta": {}}, fieldValidation="Strict")
        self.assertEqual(self.names(), [])
        create({**kind, "dta": {}}, fieldValidation="Ignore")
        self.assertEqual(self.names(), ["c"])

    def test_roles_and_quota(self):
        rules = [client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["get"])]
        self.rbac.create_namespaced_role(self.ns, client.V1Role(metadata={"name": "r"}, rules=rules))
        self.assertEqual(self.rbac.read_namespaced_role("r", self.ns).rules[0].verbs, ["get"])
        hard = client.V1ResourceQuotaSpec(hard={"count/configmaps": "1"})
        self.core.create_namespaced_resource_quota(self.ns, client.V1ResourceQuota(metadata={"name": "q"}, spec=hard))
        status = lambda: self.core.read_namespaced_resource_quota("q", self.ns).status
        eventually(lambda: status() and status().hard)
        self.core.create_namespaced_config_map(self.ns, config_map("one"))
        self.refused(403, "Forbidden", self.core.create_namespaced_config_map, self.ns, config_map("two"))
        eventually(lambda: status().used == {"count/configmaps": "1"})

    def test_custom_objects_and_dynamic_client(self):
        body = {
            "apiVersion": "networking.istio.io/v1beta1",
            "kind": "VirtualService",
            "metadata": {"name": "vs"},
            "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}, "weight": 100}]}]},
        }
        coordinates = ("networking.istio.io", "v1beta1", self.ns, "virtualservices")
        made = self.custom.create_namespaced_custom_object(*coordinates, body)
        self.assertEqual(made["spec"], body["spec"])
        self.custom.patch_namespaced_custom_object(*coordinates, "vs", {"spec": {"hosts": ["b"]}})
        dynamic_client = dynamic.DynamicClient(self.api)
        kind = dynamic_client.resources.get(api_version="networking.istio.io/v1", kind="VirtualService")
        self.assertEqual(kind.get(name="vs", namespace=self.ns).spec.hosts, ["b"])
        kind.delete(name="vs", namespace=self.ns)
        self.assertEqual(kind.get(namespace=self.ns).items, [])

    def test_create_from_dict(self):
        for document in [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        ]:
            utils.create_from_dict(self.api, document, namespace=self.ns)
        self.assertEqual(self.core.read_namespaced_secret("s", self.ns).data, {"a": "Yg=="})

    def test_leader_election_lease(self):
        leases = client.CoordinationV1Api(self.api)
        spec = client.V1LeaseSpec(holder_identity="one", lease_duration_seconds=15)
        lease = leases.create_namespaced_lease(self.ns, client.V1Lease(metadata={"name": "l"}, spec=spec))
        rival = leases.read_namespaced_lease("l", self.ns)
        lease.spec.holder_identity = "one again"
        leases.replace_namespaced_lease("l", self.ns, lease)
        rival.spec.holder_identity = "two"
        self.refused(409, "Conflict", leases.replace_namespaced_lease, "l", self.ns, rival)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
