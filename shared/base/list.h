#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A circular doubly linked list through nodes embedded in the items.  A head is a struct list; a
 * node that is in no list points at itself, so removing it again is harmless.
 */
struct list {
    struct list *next, *prev;
};

#define LIST_INIT(head)                                                                            \
    {                                                                                              \
        &(head), &(head)                                                                           \
    }

#define container_of(ptr, type, member)                                                            \
    ({                                                                                             \
        __typeof__(((type *)0)->member) *member_ = (ptr);                                          \
        (type *)(void *)((char *)member_ - offsetof(type, member));                                \
    })

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_prepend(struct list *head, struct list *node)
{
    list_append(head->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves every node of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_FIRST(head, type, member)                                                             \
    (list_empty(head) ? NULL : container_of((head)->next, type, member))
#define LIST_LAST(head, type, member)                                                              \
    (list_empty(head) ? NULL : container_of((head)->prev, type, member))

#define LIST_EACH(item, head, member)                                                              \
    for ((item) = container_of((head)->next, __typeof__(*(item)), member);                         \
         &(item)->member != (head);                                                                \
         (item) = container_of((item)->member.next, __typeof__(*(item)), member))

/* As LIST_EACH; the current item (and no other) may be removed or freed in the body. */
#define LIST_EACH_SAFE(item, tmp, head, member)                                                    \
    for ((item) = container_of((head)->next, __typeof__(*(item)), member),                         \
        (tmp) = container_of((item)->member.next, __typeof__(*(item)), member);                    \
         &(item)->member != (head);                                                                \
         (item) = (tmp), (tmp) = container_of((item)->member.next, __typeof__(*(item)), member))

#endif
